//! What the simulator can be told to do wrong.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Action;

/// Something that goes wrong, for which requests, and how often.
///
/// Without [`on`](Self::on) it is for all actions, except where it is only about creation; without
/// [`times`](Self::times) it goes on until the faults are cleared. As JSON it is one flat object:
/// `{"effect": "status", "status": 503, "action": "create", "times": 2}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fault {
    /// What goes wrong.
    #[serde(flatten)]
    pub effect: Effect,
    /// Only for this action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// Only for machines of this region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Only for machines of this size, such as `performance-2x`, `shared-cpu-1x` or `a10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// So many times more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effect {
    /// The answer comes late; what was asked is done at once.
    Slow {
        /// So late.
        millis: u64,
    },
    /// Nothing is done, and the answer is this status.
    Status {
        /// From 400 to 599.
        status: u16,
        /// The text of the error; without it one that Fly gives with this status.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// The header `Retry-After`, in seconds; with 429 it is 1 if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
    /// Nothing is done, and the connection is closed without an answer.
    DropConnection,
    /// What was asked is done, but the connection is closed without an answer.
    LoseAnswer,
    /// No host of the region has room for the machine.
    NoCapacity,
    /// A machine takes this long to boot.
    SlowBoot {
        /// So long.
        millis: u64,
    },
    /// A machine boots, and its process ends at once.
    DieAtBoot {
        /// With this code.
        exit_code: u8,
    },
    /// A machine boots, but runs a process that only sleeps.
    NeverConnect,
    /// A machine is killed for memory some time after its boot.
    OutOfMemory {
        /// So long after.
        millis: u64,
    },
}

/// The names that the JSON of a fault may have.
const FIELDS: [&str; 10] =
    ["effect", "action", "region", "size", "times", "millis", "status", "error", "retry_after", "exit_code"];

impl Fault {
    fn new(effect: Effect) -> Self {
        Self { effect, action: None, region: None, size: None, times: None }
    }

    /// Answers come so much later.
    #[must_use]
    pub fn slow(by: Duration) -> Self {
        Self::new(Effect::Slow { millis: in_millis(by) })
    }

    /// Requests are refused with a status from 400 to 599.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::new(Effect::Status { status, error: None, retry_after: None })
    }

    /// Requests are refused with 429 and `Retry-After`.
    #[must_use]
    pub fn rate_limit(retry_after: Duration) -> Self {
        Self::new(Effect::Status { status: 429, error: None, retry_after: Some(retry_after.as_secs()) })
    }

    /// Connections are closed before anything is done.
    #[must_use]
    pub fn drop_connection() -> Self {
        Self::new(Effect::DropConnection)
    }

    /// Machines are created, but the connection is closed without an answer.
    #[must_use]
    pub fn lose_answer() -> Self {
        Self::new(Effect::LoseAnswer)
    }

    /// There is no room for machines; say where or of which size with [`region`](Self::region) and [`size`](Self::size).
    #[must_use]
    pub fn no_capacity() -> Self {
        Self::new(Effect::NoCapacity)
    }

    /// Machines take so long to boot.
    #[must_use]
    pub fn slow_boot(by: Duration) -> Self {
        Self::new(Effect::SlowBoot { millis: in_millis(by) })
    }

    /// Machines boot, and their process ends at once with this code.
    #[must_use]
    pub fn die_at_boot(exit_code: u8) -> Self {
        Self::new(Effect::DieAtBoot { exit_code })
    }

    /// Machines boot, but run a process that only sleeps.
    #[must_use]
    pub fn never_connect() -> Self {
        Self::new(Effect::NeverConnect)
    }

    /// Machines are killed for memory so long after they booted.
    #[must_use]
    pub fn out_of_memory(after: Duration) -> Self {
        Self::new(Effect::OutOfMemory { millis: in_millis(after) })
    }

    /// Only for this action.
    #[must_use]
    pub fn on(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// Only for machines of this region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Only for machines of this size, such as `performance-2x`, `shared-cpu-1x` or `a10`.
    #[must_use]
    pub fn size(mut self, size: impl Into<String>) -> Self {
        self.size = Some(size.into());
        self
    }

    /// So many times.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Gives a refusal with a status this text instead of Fly's.
    #[must_use]
    pub fn error(mut self, text: impl Into<String>) -> Self {
        if let Effect::Status { error, .. } = &mut self.effect {
            *error = Some(text.into());
        }
        self
    }

    /// Reads one from JSON, and refuses what it would not understand.
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_slice(json).map_err(|err| err.to_string())?;
        if let Some(name) =
            value.as_object().and_then(|fields| fields.keys().find(|name| !FIELDS.contains(&name.as_str())))
        {
            return Err(format!("a fault has no field \"{name}\""));
        }
        let fault: Self = serde_json::from_value(value).map_err(|err| err.to_string())?;
        match fault.effect {
            Effect::Status { status, .. } if !(400..600).contains(&status) => Err(format!("{status} is no refusal")),
            _ => Ok(fault),
        }
    }
}

fn in_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Which machine a fault may be about: known once a request has been read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) action: Action,
    pub(crate) region: &'a str,
    pub(crate) size: &'a str,
}

/// The faults that are told, in the order they were.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn all(&self) -> &[Fault] {
        &self.0
    }

    /// The first that fits, which then has one time less.
    pub(crate) fn take(&mut self, about: About<'_>, fits: impl Fn(&Effect) -> bool) -> Option<Effect> {
        let index = self.0.iter().position(|fault| fits(&fault.effect) && fault.is_for(about))?;
        let fault = &mut self.0[index];
        let effect = fault.effect.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(index);
            }
        }
        Some(effect)
    }
}

impl Fault {
    fn is_for(&self, about: About<'_>) -> bool {
        let action = match (self.action, &self.effect) {
            // These are about a boot, whoever asked for it.
            (
                _,
                Effect::SlowBoot { .. } | Effect::DieAtBoot { .. } | Effect::NeverConnect | Effect::OutOfMemory { .. },
            ) => None,
            (None, Effect::LoseAnswer | Effect::NoCapacity) => Some(Action::Create),
            (action, _) => action,
        };
        self.times != Some(0)
            && action.is_none_or(|action| action == about.action)
            && self.region.as_deref().is_none_or(|region| region == about.region)
            && self.size.as_deref().is_none_or(|size| size == about.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: About<'_> = About { action: Action::Create, region: "fra", size: "performance-2x" };

    #[test]
    fn a_fault_is_taken_as_often_as_it_says() {
        let mut faults = Faults::default();
        faults.add(Fault::status(503).times(2));
        assert_eq!((0..10).filter(|_| faults.take(CREATE, |_| true).is_some()).count(), 2);
        faults.add(Fault::status(503));
        assert_eq!((0..10).filter(|_| faults.take(CREATE, |_| true).is_some()).count(), 10);
    }

    #[test]
    fn a_fault_is_only_for_what_it_names() {
        let mut faults = Faults::default();
        faults.add(Fault::no_capacity().region("ams"));
        faults.add(Fault::no_capacity().size("a10"));
        faults.add(Fault::status(500).on(Action::Stop));
        faults.add(Fault::status(500).times(0));
        assert_eq!(faults.take(CREATE, |_| true), None);
        assert_eq!(faults.take(About { region: "ams", ..CREATE }, |_| true), Some(Effect::NoCapacity));
        assert_eq!(faults.take(About { size: "a10", ..CREATE }, |_| true), Some(Effect::NoCapacity));
        let list = About { action: Action::List, ..CREATE };
        faults.add(Fault::lose_answer());
        assert_eq!(faults.take(list, |_| true), None);
    }

    #[test]
    fn a_fault_reads_as_it_is_written() {
        for fault in [
            Fault::status(429).times(3).on(Action::Create),
            Fault::no_capacity().region("fra").size("a10"),
            Fault::die_at_boot(3),
            Fault::slow(Duration::from_millis(20)),
            Fault::lose_answer(),
        ] {
            assert_eq!(Fault::read(&serde_json::to_vec(&fault).expect("JSON")), Ok(fault));
        }
    }

    #[test]
    fn a_fault_with_a_slip_of_the_pen_is_refused() {
        for (json, why) in [
            (r#"{"effect": "status", "status": 503, "time": 1}"#, "\"time\""),
            (r#"{"effect": "status", "status": 200}"#, "200 is no refusal"),
            (r#"{"effect": "fire"}"#, "fire"),
            (r#"{"effect": "status"}"#, "status"),
        ] {
            let refused = Fault::read(json.as_bytes()).expect_err(json);
            assert!(refused.contains(why), "{refused}");
        }
    }
}
