-- How the bytes of a body are stored: 0 as they are, 1 as a frame of zstd. A frame with a base is read with the bytes of that body
-- as its dictionary, and for as long as it is there so is its base.
ALTER TABLE blob ADD COLUMN form INTEGER NOT NULL DEFAULT 0;
ALTER TABLE blob ADD COLUMN base BLOB;
