CREATE TABLE account (
    id      TEXT   PRIMARY KEY,
    balance BIGINT NOT NULL,
    fence   BIGINT NOT NULL DEFAULT 0 -- the highest number seen
);
