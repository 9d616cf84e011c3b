CREATE TABLE fence (
    key    TEXT   PRIMARY KEY,
    number BIGINT NOT NULL
);
