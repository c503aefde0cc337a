-- Long-term memory, run with the schema of pgvector second on the search path. Texts, ids and names are the fields of
-- MemoryItem as bytes. Metadata is JSON whose texts are written so that they hold no NUL and keep their order.

-- A namespace that was ever written to, and how many items and words are in it: whoever writes to it holds its row.
CREATE TABLE memory_space (
    space     bigint NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    namespace bytea  NOT NULL UNIQUE,
    texts     bigint NOT NULL,
    words     bigint NOT NULL
);

-- The first vector of a model fixes how many numbers its vectors have.
CREATE TABLE memory_model (
    model     integer NOT NULL PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name      bytea   NOT NULL UNIQUE,
    dimension integer NOT NULL
);

-- How many vectors of a model a namespace has.
CREATE TABLE memory_shelf (
    space   bigint  NOT NULL,
    model   integer NOT NULL,
    vectors bigint  NOT NULL,
    PRIMARY KEY (space, model)
);

-- The numbers of a vector as they were given, 32 bits each, little end first, and its direction, which has length one.
-- An index of directions is made for a namespace and a model when it has many: memory_near_<space>_<model>.
CREATE TABLE memory (
    space     bigint  NOT NULL,
    id        bytea   NOT NULL,
    owner     uuid    NOT NULL,
    length    integer NOT NULL,
    model     integer,
    metadata  jsonb   NOT NULL,
    direction vector,
    numbers   bytea,
    text      bytea   NOT NULL,
    PRIMARY KEY (space, id)
);
-- What a search looks at stays in the row for as long as that fits a page; what only an answer needs goes elsewhere first.
ALTER TABLE memory ALTER COLUMN direction SET STORAGE MAIN;
ALTER TABLE memory ALTER COLUMN metadata SET STORAGE MAIN;
ALTER TABLE memory ALTER COLUMN numbers SET STORAGE EXTERNAL;

-- The words of a text, each once, behind the number of its namespace; its place is how often it stands there. One vector of
-- words has at most 1 MB, so a long text has several. `length` is the number of all words of the text.
CREATE TABLE memory_words (
    space  bigint   NOT NULL,
    id     bytea    NOT NULL,
    part   smallint NOT NULL,
    length integer  NOT NULL,
    words  tsvector NOT NULL,
    PRIMARY KEY (space, id, part)
);
CREATE INDEX memory_words_word ON memory_words USING gin (words) WITH (fastupdate = off);
