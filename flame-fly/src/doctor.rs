//! What the API knows of a machine, and what that means.

use flame_actors::Cause;
use serde::Deserialize;
use serde_json::Value;

/// So many of a machine's last events are told.
const EVENTS: usize = 8;

/// A machine, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Machine {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    region: String,
    config: Option<Value>,
    /// The newest first.
    events: Option<Vec<Event>>,
}

#[derive(Debug, Deserialize)]
struct Event {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    status: String,
    /// The contract leaves it open; these are the fields of Fly's client
    /// (<https://github.com/superfly/fly-go/blob/main/machine_types.go>, `MachineExitEvent`).
    request: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Exit {
    #[serde(default)]
    exit_code: i32,
    #[serde(default)]
    guest_exit_code: i32,
    #[serde(default)]
    guest_signal: i32,
    #[serde(default)]
    signal: i32,
    #[serde(default)]
    oom_killed: bool,
    #[serde(default)]
    requested_stop: bool,
}

impl Machine {
    /// A mark that it was created with.
    pub(crate) fn mark(&self, name: &str) -> Option<&str> {
        self.config.as_ref()?.get("metadata")?.get(name)?.as_str()
    }

    /// Whether it has ended, or is about to be gone (<https://fly.io/docs/machines/machine-states/>).
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "stopped" | "suspended" | "failed" | "launch_failed" | "destroying" | "destroyed")
    }

    /// Whether nothing has to be done for it to be gone.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state.as_str(), "destroying" | "destroyed")
    }

    /// Why it has ended.
    pub(crate) fn cause(&self) -> Cause {
        // Without an exit nothing of it ended by itself.
        let Some(exit) = self.exit() else { return Cause::Destroyed };
        match [exit.guest_signal, exit.signal].into_iter().find(|signal| *signal > 0) {
            _ if exit.oom_killed => Cause::OutOfMemory,
            _ if exit.requested_stop => Cause::Destroyed,
            Some(signal) => Cause::Signalled(signal),
            None if exit.exit_code == 0 => Cause::Exited(exit.guest_exit_code.max(0)),
            None => Cause::Exited(exit.exit_code),
        }
    }

    /// State, events and end, in one line.
    pub(crate) fn describe(&self, app: &str) -> String {
        let Self { id, name, state, region, .. } = self;
        let mut text = format!("machine {id} ({name}) in {region} is {state}");
        let events = self.events.as_deref().unwrap_or_default();
        let told: Vec<_> =
            events.iter().take(EVENTS).rev().map(|event| format!("{} {}", event.kind, event.status)).collect();
        if !told.is_empty() {
            text.push_str(&format!("; its events: {}", told.join(", ")));
        }
        if self.exit().is_some() {
            text.push_str(&format!("; {}", self.cause()));
        }
        text.push_str(&format!("; what it wrote: fly logs -a {app} --machine {id}"));
        text
    }

    fn exit(&self) -> Option<Exit> {
        let exit = |event: &Event| {
            let request = event.request.as_ref()?;
            let exit = request.get("exit_event").or_else(|| request.pointer("/MonitorEvent/exit_event"))?;
            Exit::deserialize(exit).ok()
        };
        self.events.as_ref()?.iter().find_map(exit)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn machine(state: &str, exit: Value) -> Machine {
        let events = json!([
            { "type": "exit", "status": "stopped", "source": "flyd", "timestamp": 3, "request": { "exit_event": exit } },
            { "type": "start", "status": "started", "source": "flyd", "timestamp": 2 },
            { "type": "launch", "status": "created", "source": "user", "timestamp": 1 },
        ]);
        let machine = json!({ "id": "148e", "name": "flame-p-1", "state": state, "region": "fra", "events": events });
        serde_json::from_value(machine).unwrap()
    }

    #[test]
    fn each_end_has_its_cause() {
        let cause = |exit| machine("stopped", exit).cause();
        assert_eq!(cause(json!({ "exit_code": 3, "guest_signal": -1, "signal": -1 })), Cause::Exited(3));
        assert_eq!(cause(json!({ "guest_exit_code": 4, "guest_signal": -1, "signal": -1 })), Cause::Exited(4));
        assert_eq!(cause(json!({ "exit_code": 0, "signal": -1 })), Cause::Exited(0));
        assert_eq!(cause(json!({ "exit_code": 139, "guest_signal": 11 })), Cause::Signalled(11));
        assert_eq!(cause(json!({ "exit_code": 137, "guest_signal": 9, "oom_killed": true })), Cause::OutOfMemory);
        assert_eq!(cause(json!({ "exit_code": 0, "requested_stop": true })), Cause::Destroyed);
        assert_eq!(cause(json!("unheard of")), Cause::Destroyed);
    }

    #[test]
    fn the_exit_may_be_within_a_monitor_event() {
        let mut machine = machine("stopped", Value::Null);
        let request = json!({ "MonitorEvent": { "exit_event": { "exit_code": 7, "signal": -1 } } });
        machine.events.as_mut().unwrap()[0].request = Some(request);
        assert_eq!(machine.cause(), Cause::Exited(7));
    }

    #[test]
    fn the_description_has_state_events_and_end() {
        let text =
            machine("stopped", json!({ "exit_code": 137, "guest_signal": 9, "oom_killed": true })).describe("thumbs");
        assert_eq!(
            text,
            "machine 148e (flame-p-1) in fra is stopped; its events: launch created, start started, exit stopped; it \
             ran out of memory; what it wrote: fly logs -a thumbs --machine 148e"
        );
    }

    #[test]
    fn little_is_enough() {
        let machine: Machine = serde_json::from_value(json!({ "id": "148e", "events": null, "config": null })).unwrap();
        assert_eq!((machine.has_ended(), machine.mark("x"), machine.cause()), (false, None, Cause::Destroyed));
        machine.describe("thumbs");
    }
}
