//! Files that runners bring along.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use flame_actors::{Error, remote};
use flame_tests::{Runners, eventually, everywhere, node, until};
use libtest_mimic::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    everywhere![
        files_are_there_before_work_and_go_with_the_runner,
        directories_come_with_all_that_is_in_them,
        a_file_that_is_there_is_left_as_it_is,
        the_last_runner_of_several_removes_what_they_share,
        another_file_of_that_name_fails_the_boot_and_is_left_as_it_is,
        a_file_that_is_missing_fails_the_boot_and_is_named,
        a_file_of_the_users_that_looks_the_same_is_never_removed,
        what_a_killed_runner_has_left_is_taken_over,
        links_that_lead_in_a_circle_are_an_error,
    ]
}

#[remote]
async fn read(path: PathBuf) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Everything in it, drafts included.
    fn names(&self) -> Vec<String> {
        fn walk(directory: &Path, names: &mut Vec<String>) {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, names);
                }
                names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
        let mut names = Vec::new();
        walk(self.0.path(), &mut names);
        names.sort();
        names
    }
}

async fn files_are_there_before_work_and_go_with_the_runner(on: Runners) {
    let [here, there] = [Place::new(), Place::new()];
    let model = here.file("model", &"weights ".repeat(50_000));
    std::fs::set_permissions(&model, std::fs::Permissions::from_mode(0o750)).unwrap();
    let place = there.at("models/face/model");
    let pool = on.pool().copy_path_to(&model, &place).start(&node()).await.unwrap();
    assert_eq!(pool.call(read(place.clone())).await.unwrap(), Some("weights ".repeat(50_000)));
    let (original, copy) = (model.metadata().unwrap(), place.metadata().unwrap());
    assert_eq!((copy.mode(), copy.modified().unwrap()), (original.mode(), original.modified().unwrap()));
    pool.shutdown().await;
    until("it is gone with its directories", || there.names().is_empty()).await;
    assert_eq!(here.names(), ["model"]);
}

async fn directories_come_with_all_that_is_in_them(on: Runners) {
    let [here, there] = [Place::new(), Place::new()];
    for n in 0..300 {
        here.file(&format!("data/{}/{n}", n % 7), &n.to_string());
    }
    here.file("data/empty", "");
    let pool = on.pool().copy_path_to(here.at("data"), there.at("data")).start(&node()).await.unwrap();
    for n in [0, 150, 299] {
        let path = there.at(&format!("data/{}/{n}", n % 7));
        assert_eq!(pool.call(read(path)).await.unwrap(), Some(n.to_string()));
    }
    assert_eq!(pool.call(read(there.at("data/empty"))).await.unwrap(), Some(String::new()));
    pool.shutdown().await;
    until("all are gone", || there.names().is_empty()).await;
}

async fn a_file_that_is_there_is_left_as_it_is(on: Runners) {
    let here = Place::new();
    let model = here.file("model", "weights");
    let pool = on.pool().copy_paths([&model]).start(&node()).await.unwrap();
    assert_eq!(pool.call(read(model.clone())).await.unwrap().as_deref(), Some("weights"));
    pool.shutdown().await;
    assert_eq!(
        (here.names(), std::fs::read_to_string(&model).unwrap()),
        (vec!["model".to_owned()], "weights".to_owned())
    );
}

async fn the_last_runner_of_several_removes_what_they_share(on: Runners) {
    let [here, there] = [Place::new(), Place::new()];
    let (model, place) = (here.file("model", "weights"), there.at("model"));
    let pools = [on.pool(), on.pool()].map(|pool| pool.copy_path_to(&model, &place));
    let [one, other] = pools;
    let (one, other) = (one.start(&node()).await.unwrap(), other.start(&node()).await.unwrap());
    for pool in [&one, &other] {
        assert_eq!(pool.call(read(place.clone())).await.unwrap().as_deref(), Some("weights"));
    }
    one.shutdown().await;
    assert_eq!(other.call(read(place.clone())).await.unwrap().as_deref(), Some("weights"));
    other.shutdown().await;
    until("it is gone", || there.names().is_empty()).await;
}

async fn another_file_of_that_name_fails_the_boot_and_is_left_as_it_is(on: Runners) {
    let [here, there] = [Place::new(), Place::new()];
    let (model, place) = (here.file("model", "weights"), there.file("model", "something else"));
    let pool = on.pool().copy_path_to(&model, &place).start(&node()).await.unwrap();
    let err = eventually("the call", pool.call(read(place.clone()))).await.unwrap_err();
    assert!(matches!(&err, Error::Config { .. }) && err.to_string().contains("another file of this name"), "{err}");
    assert!(err.to_string().contains(place.to_str().unwrap()), "{err}");
    pool.shutdown().await;
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "something else");
}

async fn a_file_that_is_missing_fails_the_boot_and_is_named(on: Runners) {
    let here = Place::new();
    let pool = on.pool().copy_paths([here.at("nothing")]).start(&node()).await.unwrap();
    let err = eventually("the call", pool.call(read(here.at("nothing")))).await.unwrap_err();
    let (text, path) = (err.to_string(), here.at("nothing"));
    assert!(text.contains("copy_paths") && text.contains(path.to_str().unwrap()), "{text}");
    pool.shutdown().await;
}

/// As `cp -p` makes it: the same size and time, and another file. Many runners look at it at once.
async fn a_file_of_the_users_that_looks_the_same_is_never_removed(on: Runners) {
    let [here, there] = [Place::new(), Place::new()];
    let (model, place) = (here.file("model", "weights"), there.file("model", "weights"));
    let times = std::fs::File::open(&place).unwrap();
    times.set_modified(model.metadata().unwrap().modified().unwrap()).unwrap();
    let pools: Vec<_> = (0..4).map(|_| on.pool().copy_path_to(&model, &place).min(3).max(3)).collect();
    let mut started = Vec::new();
    for pool in pools {
        started.push(pool.start(&node()).await.unwrap());
    }
    for pool in &started {
        until("all are up", || pool.status().runners.len() == 3).await;
        assert_eq!(pool.call(read(place.clone())).await.unwrap().as_deref(), Some("weights"));
    }
    futures_util::future::join_all(started.iter().map(|pool| pool.shutdown())).await;
    assert_eq!(there.names(), ["model"]);
}

async fn what_a_killed_runner_has_left_is_taken_over(on: Runners) {
    let [here, there] = [Place::new(), Place::new()];
    let (model, place) = (here.file("model", "weights"), there.at("models/model"));
    // What one leaves: the file, changed here meanwhile, and the mark beside it.
    there.file("models/model", "old weights");
    std::fs::write(there.at("models/.model.flame"), format!("{}\0", there.at("models").display())).unwrap();
    let pool = on.pool().copy_path_to(&model, &place).start(&node()).await.unwrap();
    assert_eq!(pool.call(read(place.clone())).await.unwrap().as_deref(), Some("weights"));
    pool.shutdown().await;
    until("all is gone", || !place.exists()).await;
    assert!(!there.names().iter().any(|name| name.contains("model") && name != "models"), "{:?}", there.names());
}

async fn links_that_lead_in_a_circle_are_an_error(on: Runners) {
    let [here, there] = [Place::new(), Place::new()];
    here.file("data/one", "1");
    for name in ["again", "and-again"] {
        std::os::unix::fs::symlink(here.at("data"), here.at("data").join(name)).unwrap();
    }
    let pool = on.pool().copy_path_to(here.at("data"), there.at("data")).start(&node()).await.unwrap();
    let err = eventually("the call", pool.call(read(there.at("data/one")))).await.unwrap_err();
    assert!(err.to_string().contains("circle"), "{err}");
    pool.shutdown().await;
}
