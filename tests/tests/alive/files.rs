//! Copied paths that cannot be opened or read.

use std::future::IntoFuture as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use flame_actors::task;
use flame_tests::{Runners, node, trials};
use libtest_mimic::Trial;
use nix::sys::stat::Mode;

use crate::harm::{Bystanders, Case, Harm, case, harms_no_bystander, journal, noting, possible};

pub(crate) fn trials() -> Vec<Trial> {
    trials![
        a_fifo_in_the_place_of_a_copied_file_harms_no_bystander,
        a_hung_file_system_in_the_place_of_a_copied_file_harms_no_bystander,
    ]
}

const FIFOS: [Case; 3] = [
    possible("a fifo from the start"),
    possible("a fifo after the listing"),
    possible("a fifo with a silent writer after the listing"),
];
const HUNG: [Case; 2] = [possible("hung from the start"), possible("hung after the listing")];

/// So large that there is time to replace the next one.
const LARGE: u64 = 256 << 20;
const BOOT_TIMEOUT: Duration = Duration::from_secs(10);
/// What a loaded machine may add.
const SLACK: Duration = Duration::from_secs(5);

async fn a_fifo_in_the_place_of_a_copied_file_harms_no_bystander() {
    harms_no_bystander("copying", Harm::Blocks, &FIFOS).await;
}

/// Mounting needs root, as the area `limits` does.
async fn a_hung_file_system_in_the_place_of_a_copied_file_harms_no_bystander() {
    harms_no_bystander("copying", Harm::Blocks, &HUNG).await;
}

/// A file system whose server never answers, in a mount namespace of its own, which ends with that server.
struct Hung(Child);

impl Hung {
    fn new(directory: &Path) -> Self {
        std::fs::create_dir(directory).expect("it is not there");
        let script = "exec 3<>/dev/fuse
            mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 hung \"$0\" && exec sleep 1000";
        let mut server = Command::new("unshare");
        let server = server.args(["--mount", "sh", "-c", script]).arg(directory).spawn();
        Self(server.expect("there is unshare"))
    }

    /// A file in it; `None` while it is not mounted.
    fn file(&self, directory: &Path) -> Option<PathBuf> {
        let root = PathBuf::from(format!("/proc/{}/root", self.0.id()));
        let mounts = std::fs::read_to_string(root.parent()?.join("mounts")).ok()?;
        let is_mounted = mounts.lines().any(|line| line.split(' ').nth(1).map(Path::new) == Some(directory));
        is_mounted.then(|| root.join(directory.strip_prefix("/").unwrap_or(directory)).join("file"))
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // Then whoever waits for an answer gets an error.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Whether some of the first file has arrived.
fn arrives(there: &Path) -> bool {
    let entries = std::fs::read_dir(there).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.metadata().is_ok_and(|file| file.len() > 0))
}

fn make_fifo(path: &Path) {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).expect("it is not there");
}

/// Copies a large file and one that becomes something else meanwhile; errors are its own.
pub(crate) async fn play() {
    noting(async {
        let (one, other) = (Runners::Processes.start().await, Runners::Processes.start().await);
        let bystanders = Bystanders::begin(&one, &other).await;
        let (case, journal) = (case().unwrap_or_default(), journal());
        // Goes with the trial.
        let base = journal.path().parent().expect("it is in a directory").to_owned();
        let (first, second, there) = (base.join("first"), base.join("second"), base.join("there"));
        std::fs::File::create(&first).and_then(|file| file.set_len(LARGE)).expect("there is room");
        std::fs::create_dir(&there).expect("it is not there");
        let directory = base.join("hung");
        let hung = case.starts_with("hung").then(|| Hung::new(&directory));
        let file = hung.as_ref().map(|hung| {
            let start = Instant::now();
            loop {
                assert!(start.elapsed() < SLACK, "nothing is mounted");
                match hung.file(&directory) {
                    Some(file) => break file,
                    None => std::thread::sleep(Duration::from_millis(10)),
                }
            }
        });
        let put = {
            let (second, is_silent) = (second.clone(), case.contains("silent"));
            move || match file {
                Some(file) => {
                    std::os::unix::fs::symlink(file, &second).expect("it is not there");
                    None
                }
                None => {
                    make_fifo(&second);
                    // Opened for both, so that it waits for nobody.
                    is_silent.then(|| std::fs::File::options().read(true).write(true).open(&second))
                }
            }
        };
        let replaced = if case.ends_with("start") {
            drop(put());
            None
        } else {
            std::fs::write(&second, "second").expect("there is room");
            let (second, there) = (second.clone(), there.clone());
            Some(std::thread::spawn(move || {
                while !arrives(&there) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                std::fs::remove_file(&second).expect("it is there");
                put()
            }))
        };
        let pool = Runners::Processes.pool().boot_timeout(BOOT_TIMEOUT);
        let pool = pool.copy_path_to(&first, there.join("first")).copy_path_to(&second, there.join("second"));
        let pool = pool.start(&node()).await.map_err(|err| err.to_string())?;
        let call = tokio::time::timeout(BOOT_TIMEOUT + SLACK, pool.call(task!([] {})).into_future()).await;
        let err = call.map_err(|_| "the boot has no end")?.err().ok_or("the boot has succeeded")?;
        if case.contains("fifo") && !err.to_string().contains("second") {
            return Err(format!("it does not name the file: {err}"));
        }
        drop(hung);
        drop(replaced.map(std::thread::JoinHandle::join));
        bystanders.unharmed().await
    })
    .await;
    // Whoever still waits in an `open` keeps nothing.
    std::process::exit(0);
}
