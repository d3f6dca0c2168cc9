//! Videos and their thumbnails in SQLite: the same file on the parent and on runners of the same machine.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use flame_actors::BoxFuture;
use sqlx::error::BoxDynError;
use sqlx::migrate::{Migration, MigrationSource, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, query};

/// So many videos of one owner are kept; older ones make room.
const KEPT: i64 = 40;

/// The database.
#[derive(Clone, Debug)]
pub(crate) struct Db(SqlitePool);

/// A video as it is begun.
pub(crate) struct Video<'a> {
    pub(crate) id: &'a str,
    pub(crate) owner: &'a str,
    pub(crate) name: &'a str,
    pub(crate) node: &'a str,
    pub(crate) pid: u32,
    pub(crate) machine: &'a str,
}

/// A video in the gallery.
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) pid: u32,
    pub(crate) machine: String,
    /// Where in the video each thumbnail is, in seconds.
    pub(crate) seconds: Vec<f64>,
}

impl Db {
    /// Opens the database in a directory; a parent makes both where they are missing.
    ///
    /// # Errors
    /// When the file cannot be opened or is from a later version.
    pub(crate) async fn open(data: &Path, is_runner: bool) -> Result<Self> {
        if !is_runner {
            tokio::fs::create_dir_all(data).await.with_context(|| format!("cannot create {}", data.display()))?;
        }
        let path = data.join("videos.sqlite");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(!is_runner)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new().max_connections(if is_runner { 2 } else { 4 }).connect_with(options).await;
        let db = Self(pool.with_context(|| format!("cannot open {}", path.display()))?);
        if !is_runner {
            Migrator::new(Embedded).await?.run(&db.0).await.context("migrations")?;
            // What a former life was about to make. A day: another server may have the same file.
            query("DELETE FROM videos WHERE finished IS NULL AND begun < unixepoch() - 86400").execute(&db.0).await?;
        }
        Ok(db)
    }

    /// A video is about to get thumbnails.
    pub(crate) async fn begin(&self, video: &Video<'_>) -> Result<()> {
        query("INSERT INTO videos (id, owner, name, node, pid, machine) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(video.id)
            .bind(video.owner)
            .bind(video.name)
            .bind(video.node)
            .bind(video.pid)
            .bind(video.machine)
            .execute(&self.0)
            .await
            .context("the database takes no video")?;
        Ok(())
    }

    /// Adds the next thumbnail of a video.
    pub(crate) async fn add(&self, video: &str, number: u32, second: f64, jpeg: &[u8]) -> Result<()> {
        query("INSERT INTO thumbnails (video, number, second, jpeg) VALUES (?, ?, ?, ?)")
            .bind(video)
            .bind(number)
            .bind(second)
            .bind(jpeg)
            .execute(&self.0)
            .await
            .context("the database takes no thumbnail")?;
        Ok(())
    }

    /// A video has all its thumbnails: from now on it is in the gallery.
    pub(crate) async fn finish(&self, video: &str) -> Result<()> {
        query("UPDATE videos SET finished = unixepoch() WHERE id = ?").bind(video).execute(&self.0).await?;
        let old = "DELETE FROM videos WHERE finished IS NOT NULL AND owner = (SELECT owner FROM videos WHERE id = ?1) \
                   AND id NOT IN (SELECT id FROM videos WHERE owner = (SELECT owner FROM videos WHERE id = ?1) \
                   AND finished IS NOT NULL ORDER BY id DESC LIMIT ?2)";
        query(old).bind(video).bind(KEPT).execute(&self.0).await?;
        Ok(())
    }

    /// Drops a video that will not be finished.
    pub(crate) async fn forget(&self, video: &str) -> Result<()> {
        query("DELETE FROM videos WHERE id = ? AND finished IS NULL").bind(video).execute(&self.0).await?;
        Ok(())
    }

    /// Removes a video of this owner from the gallery.
    pub(crate) async fn remove(&self, owner: &str, video: &str) -> Result<()> {
        query("DELETE FROM videos WHERE id = ? AND owner = ?").bind(video).bind(owner).execute(&self.0).await?;
        Ok(())
    }

    /// The finished videos of an owner, the latest first.
    pub(crate) async fn gallery(&self, owner: &str) -> Result<Vec<Kept>> {
        let rows = "SELECT id, name, node, pid, machine, second FROM videos JOIN thumbnails ON video = id \
                    WHERE owner = ? AND finished IS NOT NULL ORDER BY id DESC, number";
        let mut kept: Vec<Kept> = Vec::new();
        for row in query(rows).bind(owner).fetch_all(&self.0).await? {
            let (id, second) = (row.try_get::<String, _>("id")?, row.try_get("second")?);
            match kept.last_mut().filter(|last| last.id == id) {
                Some(last) => last.seconds.push(second),
                None => kept.push(Kept {
                    id,
                    name: row.try_get("name")?,
                    node: row.try_get("node")?,
                    pid: row.try_get("pid")?,
                    machine: row.try_get("machine")?,
                    seconds: vec![second],
                }),
            }
        }
        Ok(kept)
    }

    /// One thumbnail of a finished video, if it is this owner's.
    pub(crate) async fn thumbnail(&self, owner: &str, video: &str, number: u32) -> Result<Option<Vec<u8>>> {
        let row = "SELECT jpeg FROM thumbnails JOIN videos ON id = video \
                   WHERE id = ? AND number = ? AND owner = ? AND finished IS NOT NULL";
        let row = query(row).bind(video).bind(number).bind(owner).fetch_optional(&self.0).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}

/// The folder `migrations`, as part of the executable; sqlx's own macro for that needs all of its macros.
#[derive(Debug)]
struct Embedded;

impl MigrationSource<'static> for Embedded {
    fn resolve(self) -> BoxFuture<'static, Result<Vec<Migration>, BoxDynError>> {
        let sql = include_str!("../migrations/0001_videos.sql");
        let videos = Migration::new(1, "videos".into(), MigrationType::Simple, sql.into(), false);
        Box::pin(async { Ok(vec![videos]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn finished(db: &Db, id: &str, owner: &str) {
        let video = Video { id, owner, name: "'); DROP TABLE videos; --", node: "n", pid: 7, machine: "m" };
        db.begin(&video).await.unwrap();
        db.add(id, 0, 0.0, b"jpeg").await.unwrap();
        db.finish(id).await.unwrap();
    }

    #[tokio::test]
    async fn finished_videos_survive_a_restart_and_belong_to_their_owner() {
        let data = tempfile::tempdir().unwrap();
        let db = Db::open(data.path(), false).await.unwrap();
        finished(&db, "a", "alice").await;
        let half = Video { id: "b", owner: "alice", name: "half", node: "n", pid: 7, machine: "m" };
        db.begin(&half).await.unwrap();
        drop(db);

        let db = Db::open(data.path(), false).await.unwrap();
        let gallery = db.gallery("alice").await.unwrap();
        assert_eq!(gallery.iter().map(|kept| &kept.id[..]).collect::<Vec<_>>(), ["a"]);
        assert_eq!(gallery[0].name, "'); DROP TABLE videos; --");
        assert_eq!(db.thumbnail("alice", "a", 0).await.unwrap().unwrap(), b"jpeg");
        assert!(db.gallery("bob").await.unwrap().is_empty());
        assert_eq!(db.thumbnail("bob", "a", 0).await.unwrap(), None);
        db.remove("bob", "a").await.unwrap();
        assert_eq!(db.gallery("alice").await.unwrap().len(), 1, "it is not bob's");
        db.remove("alice", "a").await.unwrap();
        assert!(db.gallery("alice").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_video_that_was_dropped_takes_no_more_thumbnails() {
        let data = tempfile::tempdir().unwrap();
        let db = Db::open(data.path(), false).await.unwrap();
        let video = Video { id: "a", owner: "alice", name: "half", node: "n", pid: 7, machine: "m" };
        db.begin(&video).await.unwrap();
        db.add("a", 0, 0.0, b"jpeg").await.unwrap();
        db.forget("a").await.unwrap();
        assert!(db.add("a", 1, 1.0, b"jpeg").await.is_err());
    }

    #[tokio::test]
    async fn old_videos_make_room_for_new_ones_of_their_owner() {
        let data = tempfile::tempdir().unwrap();
        let db = Db::open(data.path(), false).await.unwrap();
        finished(&db, "000", "bob").await;
        for number in 1..=KEPT + 2 {
            finished(&db, &format!("{number:03}"), "alice").await;
        }
        let gallery = db.gallery("alice").await.unwrap();
        assert_eq!(gallery.len(), KEPT as usize);
        assert_eq!(gallery.last().unwrap().id, "003");
        assert_eq!(db.gallery("bob").await.unwrap().len(), 1);
    }
}
