-- The first schema. Columns of agent and event are the fields of AgentRow and Record.
-- Unsigned 64-bit numbers are stored as the signed ones of the same bits. Pids are 16 bytes, hashes 32.

-- The incarnations of kernels on this store: one row.
CREATE TABLE kernel (
    id    INTEGER NOT NULL PRIMARY KEY CHECK (id = 0),
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO kernel (id, epoch) VALUES (0, 0);

-- The image comes last: reading what lies before it does not touch its overflow pages.
CREATE TABLE agent (
    pid      BLOB    NOT NULL PRIMARY KEY,
    parent   BLOB    NOT NULL,
    epoch    INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    records  INTEGER NOT NULL,
    head     BLOB    NOT NULL,
    exited   INTEGER NOT NULL,
    seal     BLOB    NOT NULL,
    image    BLOB    NOT NULL
) STRICT;
CREATE INDEX agent_live ON agent (pid) WHERE exited = 0;

-- Clustered by process: a journal is read in order, and a commit touches one page of it.
CREATE TABLE event (
    pid       BLOB    NOT NULL,
    number    INTEGER NOT NULL,
    step      INTEGER NOT NULL,
    call      INTEGER,
    kind      INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    salt      BLOB    NOT NULL,
    body      TEXT,
    blob      BLOB,
    body_hash BLOB    NOT NULL,
    hash      BLOB    NOT NULL,
    PRIMARY KEY (pid, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE value (
    pid   BLOB NOT NULL,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (pid, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE blob (
    hash  BLOB NOT NULL PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

-- Which processes committed a body. One that none committed may be swept.
CREATE TABLE blob_ref (
    hash BLOB NOT NULL,
    pid  BLOB NOT NULL,
    PRIMARY KEY (hash, pid)
) STRICT, WITHOUT ROWID;

-- Mail that waits has a body. Without one it was consumed: its id stays until the process exits, so that the same
-- mail posted again is known. AUTOINCREMENT, because arrivals are never reused.
CREATE TABLE mail (
    arrival   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    recipient BLOB    NOT NULL,
    sender    BLOB    NOT NULL,
    number    INTEGER NOT NULL,
    sent_at   INTEGER,
    body      TEXT,
    UNIQUE (recipient, sender, number)
) STRICT;
CREATE INDEX mail_inbox ON mail (recipient, arrival) WHERE body IS NOT NULL;
CREATE INDEX mail_arrival ON mail (arrival) WHERE body IS NOT NULL;
