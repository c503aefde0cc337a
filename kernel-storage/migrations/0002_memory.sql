-- Long-term memory. Texts, ids and metadata are the fields of MemoryItem; metadata is canonical JSON, a vector the
-- bytes of its 32-bit numbers, little end first. Indexes of words and directions are made in memory, from this table.

CREATE TABLE memory (
    namespace TEXT NOT NULL,
    id        TEXT NOT NULL,
    owner     BLOB NOT NULL,
    metadata  TEXT NOT NULL,
    model     TEXT,
    vector    BLOB,
    text      TEXT NOT NULL,
    UNIQUE (namespace, id)
) STRICT;

-- The first vector of a model fixes how many numbers its vectors have.
CREATE TABLE memory_model (
    model     TEXT    NOT NULL PRIMARY KEY,
    dimension INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How often a namespace was written to: by this an index in memory knows whether it is up to date.
CREATE TABLE memory_namespace (
    namespace  TEXT    NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
