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
