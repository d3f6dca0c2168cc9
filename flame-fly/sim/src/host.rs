//! Boots machines as processes of this computer.
//!
//! Each machine has a thread. Its namespace is the thread's, the kernel ends the process when the thread ends, and it
//! waits for the process, and then ends what that has started: its process group, and all that is in its namespace.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::fault::Effect;
use crate::machine::{Exit, Machine, State};
use crate::network::{kill_all_of, namespace_of};
use crate::world::Shared;

/// So often a machine whose policy is `on-failure` boots anew unless it says otherwise.
/// Source: <https://fly.io/docs/machines/guides-examples/machine-restart-policy/>.
const RETRIES: u64 = 10;

/// How a machine ends whose process cannot be started.
const CANNOT: Exit = Exit { code: Some(1), signal: None };

/// What a machine runs.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    command: Vec<String>,
    environment: BTreeMap<String, String>,
}

/// Boots a machine on a thread of its own, with what goes wrong with that.
pub(crate) fn boot(shared: &Arc<Shared>, machine: &mut Machine, wrong: Option<Effect>) {
    machine.is_hosted = true;
    let (id, host) = (machine.id.clone(), thread::Builder::new().name(format!("machine {}", machine.id)));
    let of_host = shared.clone();
    let started = host.spawn(move || {
        if let Err(err) = run(&of_host, &id, wrong) {
            tracing::warn!(machine = id, %err, "cannot run a machine");
            of_host.with(&id, |machine| finish(machine, CANNOT, &err.to_string()));
        }
    });
    match started {
        Ok(host) => shared.hosts.lock().push(host),
        Err(err) => finish(machine, CANNOT, &err.to_string()),
    }
}

/// Runs the machine until its process ends for good.
fn run(shared: &Arc<Shared>, id: &str, wrong: Option<Effect>) -> io::Result<()> {
    if let Some(Effect::SlowBoot { millis }) = wrong {
        shared.sleep(Duration::from_millis(millis));
    }
    let Some((address, name)) = shared.with(id, |machine| (machine.private_ip, machine.name.clone())) else {
        return Ok(());
    };
    let mut namespace = None;
    if let Some(network) = &shared.network {
        network.enter_new(address)?;
        namespace = namespace_of("thread-self");
    }
    while let Some(mut child) = start(shared, id, namespace.as_deref(), wrong.as_ref())? {
        forward(shared, &name, &mut child);
        if let Some(Effect::OutOfMemory { millis }) = wrong {
            let (shared, id) = (shared.clone(), id.to_owned());
            thread::spawn(move || {
                shared.sleep(Duration::from_millis(millis));
                shared.kill_for_memory(&id);
            });
        }
        // Not reaped yet, so that nobody signals another process of this number.
        let process = Pid::from_raw(child.id().cast_signed());
        while waitid(Id::Pid(process), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        let _ = killpg(process, Signal::SIGKILL);
        if let Some(namespace) = &namespace {
            kill_all_of(namespace);
        }
        let is_over = shared.with(id, |machine| {
            machine.process = None;
            let status = child.wait()?;
            let exit = Exit { code: status.code(), signal: status.signal() };
            if restarts(machine, exit) && !shared.is_closing() {
                machine.exited(exit, true, "");
                machine.restarts += 1;
                machine.starting("flyd");
                return Ok(false);
            }
            finish(machine, exit, "");
            Ok::<_, io::Error>(true)
        });
        if is_over.transpose()? != Some(false) {
            break;
        }
    }
    Ok(())
}

/// Starts the process of a machine, unless it was told to end before.
fn start(shared: &Shared, id: &str, namespace: Option<&str>, wrong: Option<&Effect>) -> io::Result<Option<Child>> {
    // Under the lock: whoever tells it to end finds it not yet started, or its process.
    let child = shared.with(id, |machine| {
        if machine.state == State::Destroying || machine.is_stop_requested || shared.is_closing() {
            finish(machine, Exit { code: Some(0), signal: None }, "");
            return Ok(None);
        }
        let child = spawn(&program(shared, machine, wrong)?)?;
        machine.started(Pid::from_raw(child.id().cast_signed()), namespace.map(str::to_owned));
        Ok(Some(child))
    });
    child.unwrap_or(Ok(None))
}

/// Its process ended, or never started, and will not do so again by itself.
fn finish(machine: &mut Machine, exit: Exit, error: &str) {
    machine.exited(exit, false, error);
    machine.is_hosted = false;
    if machine.state == State::Destroying || machine.config["auto_destroy"] == true {
        machine.destroyed();
    }
}

fn restarts(machine: &Machine, exit: Exit) -> bool {
    if machine.is_stop_requested || machine.state == State::Destroying {
        return false;
    }
    let restart = &machine.config["restart"];
    match restart["policy"].as_str() {
        Some("no") => false,
        Some("always") => true,
        _ => exit.code != Some(0) && machine.restarts < restart["max_retries"].as_u64().unwrap_or(RETRIES),
    }
}

/// What the configuration, the image and Fly say, in this order; a fault has the last word.
///
/// Sources: `init` at <https://fly.io/docs/machines/api/machines-resource/#machine-config-object-properties>, the
/// variables at <https://fly.io/docs/machines/runtime-environment/>.
fn program(shared: &Shared, machine: &Machine, wrong: Option<&Effect>) -> io::Result<Program> {
    let init = &machine.config["init"];
    let listed = |name: &str| -> Option<Vec<String>> {
        let texts = init[name].as_array()?;
        Some(texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect())
    };
    let command = match wrong {
        Some(Effect::DieAtBoot { exit_code }) => {
            vec!["/bin/sh".to_owned(), "-c".to_owned(), format!("exit {exit_code}")]
        }
        Some(Effect::NeverConnect) => vec!["/bin/sleep".to_owned(), "infinity".to_owned()],
        _ => match listed("exec").filter(|exec| !exec.is_empty()) {
            Some(exec) => exec,
            None => {
                let of_image = shared.settings.image(machine.image()).unwrap_or_default();
                let mut command = listed("entrypoint").unwrap_or_else(|| of_image.to_vec());
                command.extend(listed("cmd").unwrap_or_default());
                command
            }
        },
    };
    if command.is_empty() {
        return Err(io::Error::other("the machine has no command"));
    }
    let mut environment: BTreeMap<String, String> = shared.settings.secrets.clone();
    if let Some(path) = std::env::var_os("PATH") {
        environment.entry("PATH".to_owned()).or_insert(path.to_string_lossy().into_owned());
    }
    for (name, value) in machine.config["env"].as_object().into_iter().flatten() {
        environment.insert(name.clone(), value.as_str().unwrap_or_default().to_owned());
    }
    let group = machine.metadata("fly_process_group").map(|group| ("FLY_PROCESS_GROUP", group.to_owned()));
    let public = machine.private_ip.segments();
    let injected = [
        ("FLY_APP_NAME", machine.app.clone()),
        ("FLY_MACHINE_ID", machine.id.clone()),
        ("FLY_ALLOC_ID", machine.id.clone()),
        ("FLY_MACHINE_VERSION", machine.instance_id.clone()),
        ("FLY_REGION", machine.region.clone()),
        ("FLY_IMAGE_REF", machine.image().to_owned()),
        ("FLY_PRIVATE_IP", machine.private_ip.to_string()),
        // Of the range for documentation: nobody is there.
        ("FLY_PUBLIC_IP", format!("2001:db8::{:x}:{:x}:{:x}", public[4], public[5], public[6])),
        ("FLY_VM_MEMORY_MB", machine.memory_mb().to_string()),
    ];
    environment.extend(injected.into_iter().chain(group).map(|(name, value)| (name.to_owned(), value)));
    Ok(Program { command, environment })
}

fn spawn(program: &Program) -> io::Result<Child> {
    let mut command = Command::new(&program.command[0]);
    command.args(&program.command[1..]).env_clear().envs(&program.environment).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    end_with_its_thread(&mut command);
    command.spawn().map_err(|err| io::Error::new(err.kind(), format!("cannot run {}: {err}", program.command[0])))
}

/// The kernel kills the process when the thread that calls this ends, as it does with the simulator.
fn end_with_its_thread(command: &mut Command) {
    let parent = Pid::this();
    let prepare = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // A machine inherits nothing. A shell makes a command in the background ignore SIGINT, for example.
        for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
            // SAFETY: no handler is set, and there is no other thread here.
            #[expect(unsafe_code, reason = "nix cannot know that it is no handler")]
            unsafe {
                nix::sys::signal::signal(signal, SigHandler::SigDfl)?;
            }
        }
        // It may have ended between the fork and this.
        if Pid::parent() == parent { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    // SAFETY: between fork and exec there are system calls and neither memory nor locks of other threads.
    #[expect(unsafe_code, reason = "the only way to ask for this, and it is system calls")]
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Passes on what the machine writes, line by line.
fn forward(shared: &Arc<Shared>, name: &str, child: &mut Child) {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let pipes = [out.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>), err.map(|pipe| Box::new(pipe) as _)];
    for pipe in pipes.into_iter().flatten() {
        let (shared, name) = (shared.clone(), name.to_owned());
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                shared.write(&name, &String::from_utf8_lossy(&line));
            }
        });
    }
}

/// Ends all processes of a machine, as if its power was cut.
pub(crate) fn kill_machine(machine: &Machine) {
    if let Some(process) = machine.process {
        let _ = killpg(process, Signal::SIGKILL);
    }
}

/// Tells the main process of a machine.
pub(crate) fn signal(machine: &Machine, signal: Signal) {
    if let Some(process) = machine.process {
        let _ = kill(process, signal);
    }
}
