-- Earlier states of processes. A commit that appends records leaves its row, packed, beside the last of them: it takes no
-- index of its own, and a commit touches the same page as before. Versions of before this migration are not there.
ALTER TABLE event ADD COLUMN state BLOB;

-- What a name had, from the number of records on that its process had then; no value: it was deleted.
CREATE TABLE value_past (
    pid    BLOB    NOT NULL,
    name   TEXT    NOT NULL,
    number INTEGER NOT NULL,
    value  TEXT,
    PRIMARY KEY (pid, name, number)
) STRICT, WITHOUT ROWID;
INSERT INTO value_past (pid, name, number, value) SELECT pid, name, 0, value FROM value;
