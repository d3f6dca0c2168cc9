//! One machine as the API shows it, and how its states follow each other.
//!
//! Sources: <https://fly.io/docs/machines/machine-states/> for the states; the examples of
//! <https://fly.io/docs/machines/api/machines-resource/> and `MachineExitEvent` of fly-go for the events.

use std::net::Ipv6Addr;
use std::time::{Duration, SystemTime};

use nix::unistd::Pid;
use serde::Serialize;
use serde_json::{Value, json};
use ulid::Ulid;

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// Made, and not booted yet.
    Created,
    /// Booting.
    Starting,
    /// Its process runs.
    Started,
    /// Its process was told to end.
    Stopping,
    /// Its process ended.
    Stopped,
    /// It is to go, and its process has not ended yet.
    Destroying,
    /// It is gone.
    Destroyed,
}

impl State {
    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Destroying => "destroying",
            Self::Destroyed => "destroyed",
        }
    }
}

/// How the process of a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
}

#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) app: String,
    pub(crate) region: String,
    pub(crate) instance_id: String,
    /// As it was sent.
    pub(crate) config: Value,
    pub(crate) private_ip: Ipv6Addr,
    pub(crate) state: State,
    /// The leader of its process group.
    pub(crate) process: Option<Pid>,
    /// The namespace that all its processes are in.
    pub(crate) namespace: Option<String>,
    pub(crate) lease: Option<(String, SystemTime)>,
    pub(crate) is_stop_requested: bool,
    pub(crate) is_out_of_memory: bool,
    pub(crate) restarts: u64,
    /// A thread boots it or waits for its process.
    pub(crate) is_hosted: bool,
    created: SystemTime,
    updated: SystemTime,
    /// The oldest first.
    events: Vec<Value>,
}

impl Machine {
    pub(crate) fn new(app: &str, name: &str, region: &str, config: Value) -> Self {
        let now = SystemTime::now();
        let mut machine = Self {
            id: format!("{:014x}", Ulid::new().random() & 0xff_ffff_ffff_ffff),
            name: name.to_owned(),
            app: app.to_owned(),
            region: region.to_owned(),
            instance_id: Ulid::new().to_string(),
            config,
            private_ip: Ipv6Addr::LOCALHOST,
            state: State::Created,
            process: None,
            namespace: None,
            lease: None,
            is_stop_requested: false,
            is_out_of_memory: false,
            restarts: 0,
            is_hosted: false,
            created: now,
            updated: now,
            events: Vec::new(),
        };
        machine.record("launch", State::Created, "user", None);
        machine
    }

    /// Its id as a number: what makes its address its own.
    pub(crate) fn number(&self) -> u64 {
        u64::from_str_radix(&self.id, 16).expect("ids are written in hexadecimal")
    }

    pub(crate) fn image(&self) -> &str {
        self.config["image"].as_str().unwrap_or_default()
    }

    pub(crate) fn metadata(&self, key: &str) -> Option<&str> {
        self.config["metadata"][key].as_str()
    }

    pub(crate) fn memory_mb(&self) -> u64 {
        self.config["guest"]["memory_mb"].as_u64().unwrap_or(256)
    }

    pub(crate) fn is_here(&self) -> bool {
        self.state != State::Destroyed
    }

    /// It was asked to boot; `create` does so too, but shows it only once it has.
    pub(crate) fn starting(&mut self, source: &str) {
        self.record("start", State::Starting, source, None);
    }

    pub(crate) fn started(&mut self, process: Pid, namespace: Option<String>) {
        (self.process, self.namespace) = (Some(process), namespace);
        self.record("start", State::Started, "flyd", None);
    }

    pub(crate) fn stopping(&mut self) {
        self.is_stop_requested = true;
        self.record("stop", State::Stopping, "user", None);
    }

    pub(crate) fn destroying(&mut self) {
        self.record("destroy", State::Destroying, "user", None);
    }

    /// Its process ended, and shall boot anew or not.
    pub(crate) fn exited(&mut self, exit: Exit, is_restarting: bool, error: &str) {
        self.process = None;
        let code = exit.code.unwrap_or_else(|| 128 + exit.signal.unwrap_or(0));
        let request = json!({
            "exit_event": {
                "requested_stop": self.is_stop_requested || self.state == State::Destroying,
                "restarting": is_restarting,
                "guest_exit_code": exit.code.unwrap_or(0),
                // One that the kernel kills for memory is seen from outside of the guest.
                "guest_signal": exit.signal.filter(|_| !self.is_out_of_memory).unwrap_or(-1),
                "guest_error": error,
                "exit_code": code,
                "signal": -1,
                "error": "",
                "oom_killed": self.is_out_of_memory,
                "exited_at": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            },
            "restart_count": self.restarts,
        });
        let next = match self.state {
            State::Destroying => State::Destroying,
            _ => State::Stopped,
        };
        (self.is_stop_requested, self.is_out_of_memory) = (false, false);
        self.record("exit", State::Stopped, "flyd", Some(request));
        self.state = next;
    }

    pub(crate) fn destroyed(&mut self) {
        self.process = None;
        self.record("destroy", State::Destroyed, "flyd", None);
    }

    fn record(&mut self, kind: &str, state: State, source: &str, request: Option<Value>) {
        let now = SystemTime::now();
        let millis = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
        let mut event = json!({
            "id": Ulid::new().to_string(),
            "type": kind,
            "status": state.name(),
            "source": source,
            "timestamp": u64::try_from(millis).unwrap_or(u64::MAX),
        });
        if let Some(request) = request {
            event["request"] = request;
        }
        self.events.push(event);
        (self.state, self.updated) = (state, now);
    }

    /// The newest first, as the API has it.
    pub(crate) fn events(&self) -> Value {
        self.events.iter().rev().cloned().collect()
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut machine = self.summary();
        machine["config"] = self.config.clone();
        machine["events"] = self.events();
        machine
    }

    fn summary(&self) -> Value {
        let at = |time| humantime::format_rfc3339_seconds(time).to_string();
        json!({
            "id": self.id,
            "name": self.name,
            "state": self.state.name(),
            "region": self.region,
            "instance_id": self.instance_id,
            "private_ip": self.private_ip.to_string(),
            "created_at": at(self.created),
            "updated_at": at(self.updated),
            "image_ref": image_ref(self.image()),
            "host_status": "ok",
        })
    }
}

/// The parts of `registry/repository:tag@digest`; what is not said is Docker's.
fn image_ref(image: &str) -> Value {
    let (image, digest) = image.split_once('@').map_or((image, None), |(image, digest)| (image, Some(digest)));
    let (path, tag) = match image.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (image, "latest"),
    };
    let (registry, repository) = match path.split_once('/') {
        Some((registry, repository)) if registry.contains(['.', ':']) => (registry, repository.to_owned()),
        Some(_) => ("registry-1.docker.io", path.to_owned()),
        None => ("registry-1.docker.io", format!("library/{path}")),
    };
    json!({ "registry": registry, "repository": repository, "tag": tag, "digest": digest.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine::new("app", "name", "fra", json!({ "image": "registry.fly.io/app:v1" }))
    }

    fn told(machine: &Machine) -> Vec<String> {
        let events = machine.events();
        let text = |event: &Value, key: &str| event[key].as_str().expect(key).to_owned();
        let events = events.as_array().expect("events");
        events
            .iter()
            .map(|event| format!("{} {} {}", text(event, "type"), text(event, "status"), text(event, "source")))
            .collect()
    }

    #[test]
    fn a_life_is_told_from_its_end() {
        let mut machine = machine();
        machine.started(Pid::from_raw(1), None);
        machine.stopping();
        machine.exited(Exit { code: Some(0), signal: None }, false, "");
        assert_eq!(machine.state, State::Stopped);
        machine.destroyed();
        assert_eq!(
            told(&machine),
            [
                "destroy destroyed flyd",
                "exit stopped flyd",
                "stop stopping user",
                "start started flyd",
                "launch created user"
            ]
        );
        assert_eq!(crate::contract::check(&"Machine".into(), &machine.to_json()), []);
    }

    #[test]
    fn an_exit_tells_code_signal_memory_and_whether_it_was_asked_for() {
        for (exit, is_asked, is_oom, code, signal) in [
            (Exit { code: Some(3), signal: None }, false, false, 3, -1),
            (Exit { code: None, signal: Some(15) }, true, false, 143, 15),
            (Exit { code: None, signal: Some(9) }, false, true, 137, -1),
        ] {
            let mut machine = machine();
            machine.started(Pid::from_raw(1), None);
            machine.is_out_of_memory = is_oom;
            if is_asked {
                machine.stopping();
            }
            machine.exited(exit, false, "");
            let told = &machine.events()[0]["request"]["exit_event"];
            assert_eq!((told["exit_code"].as_i64(), told["guest_signal"].as_i64()), (Some(code), Some(signal)));
            assert_eq!(
                (told["oom_killed"].as_bool(), told["requested_stop"].as_bool()),
                (Some(is_oom), Some(is_asked))
            );
        }
    }

    #[test]
    fn a_machine_that_is_to_go_stays_so_when_its_process_ends() {
        let mut machine = machine();
        machine.started(Pid::from_raw(1), None);
        machine.destroying();
        machine.exited(Exit { code: None, signal: Some(9) }, false, "");
        assert_eq!(machine.state, State::Destroying);
    }

    #[test]
    fn a_reference_to_an_image_is_taken_apart() {
        for (image, registry, repository, tag, digest) in [
            ("registry.fly.io/app:v1", "registry.fly.io", "app", "v1", ""),
            ("registry.fly.io/app@sha256:ab", "registry.fly.io", "app", "latest", "sha256:ab"),
            ("localhost:5000/a/b:c@sha256:d", "localhost:5000", "a/b", "c", "sha256:d"),
            ("flyio/hello", "registry-1.docker.io", "flyio/hello", "latest", ""),
            ("ubuntu:22.04", "registry-1.docker.io", "library/ubuntu", "22.04", ""),
        ] {
            let expected = json!({ "registry": registry, "repository": repository, "tag": tag, "digest": digest });
            assert_eq!(image_ref(image), expected, "{image}");
        }
    }
}
