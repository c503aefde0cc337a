-- The first schema, run with the store's own schema first on the search path. Columns of agent and event are the fields
-- of AgentRow and Record. Unsigned 64-bit numbers are stored as the signed ones of the same bits. What others may write
-- is bytes and never text: text in PostgreSQL holds no NUL.

-- The incarnations of kernels on this store: one row. `arrivals` is added to the ids of transactions, see mail.
CREATE TABLE kernel (
    id       smallint NOT NULL PRIMARY KEY CHECK (id = 0),
    epoch    bigint   NOT NULL,
    arrivals bigint   NOT NULL
);
INSERT INTO kernel (id, epoch, arrivals) VALUES (0, 0, 0);

-- Kernels that claimed an epoch. The clock of this database judges whether a lease has ended.
CREATE TABLE node (
    id          uuid        NOT NULL PRIMARY KEY,
    epoch       bigint      NOT NULL UNIQUE,
    started     timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);

-- Room on each page for the next version of a row: a commit then touches no index.
CREATE TABLE agent (
    pid      uuid    NOT NULL PRIMARY KEY,
    parent   uuid    NOT NULL,
    epoch    bigint  NOT NULL,
    revision bigint  NOT NULL,
    records  bigint  NOT NULL,
    exited   boolean NOT NULL,
    head     bytea   NOT NULL,
    seal     bytea   NOT NULL,
    image    bytea   NOT NULL
) WITH (fillfactor = 60);
CREATE INDEX agent_live ON agent (pid) WHERE NOT exited;

-- A commit that appends records leaves its row, packed, as the state beside the last of them: an earlier version of its
-- process, which takes no index of its own.
CREATE TABLE event (
    pid       uuid     NOT NULL,
    number    bigint   NOT NULL,
    step      bigint   NOT NULL,
    call      bigint,
    at        bigint   NOT NULL,
    kind      smallint NOT NULL,
    salt      bytea    NOT NULL,
    body      bytea,
    blob      bytea,
    body_hash bytea    NOT NULL,
    hash      bytea    NOT NULL,
    state     bytea,
    PRIMARY KEY (pid, number)
);

CREATE TABLE value (
    pid   uuid  NOT NULL,
    name  bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (pid, name)
);

-- What a name had, from the number of records on that its process had then; no value: it was deleted.
CREATE TABLE value_past (
    pid    uuid   NOT NULL,
    name   bytea  NOT NULL,
    number bigint NOT NULL,
    value  bytea,
    PRIMARY KEY (pid, name, number)
);

CREATE TABLE blob (
    hash  bytea NOT NULL PRIMARY KEY,
    bytes bytea NOT NULL
);

-- Which processes committed a body. The foreign key is what makes a sweep safe beside commits: a reference to a body that
-- is being removed waits for the end of that and then fails, and a body that is being referred to is not removed.
CREATE TABLE blob_ref (
    hash bytea NOT NULL REFERENCES blob (hash),
    pid  uuid  NOT NULL,
    PRIMARY KEY (hash, pid)
);

-- Mail that waits has a body. Without one it was consumed: its id stays until the process exits, so that the same mail
-- posted again is known. An arrival is the id of the transaction that posted, plus kernel.arrivals, times 2^16, plus the
-- place in the list.
CREATE TABLE mail (
    recipient uuid   NOT NULL,
    sender    uuid   NOT NULL,
    number    bigint NOT NULL,
    arrival   bigint,
    sent_at   bigint,
    body      bytea,
    PRIMARY KEY (recipient, sender, number)
);
CREATE INDEX mail_inbox ON mail (recipient, arrival) WHERE body IS NOT NULL;
CREATE UNIQUE INDEX mail_arrival ON mail (arrival) WHERE body IS NOT NULL;
