-- One row per video; `finished` is empty while its thumbnails are being made.
CREATE TABLE videos (
    id       TEXT PRIMARY KEY,
    owner    TEXT NOT NULL,
    name     TEXT NOT NULL,
    node     TEXT NOT NULL,
    pid      INTEGER NOT NULL,
    machine  TEXT NOT NULL,
    begun    INTEGER NOT NULL DEFAULT (unixepoch()),
    finished INTEGER
);

CREATE INDEX videos_by_owner ON videos (owner, finished);

CREATE TABLE thumbnails (
    video  TEXT NOT NULL REFERENCES videos (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    -- Where in the video, in seconds.
    second REAL NOT NULL,
    jpeg   BLOB NOT NULL,
    PRIMARY KEY (video, number)
);
