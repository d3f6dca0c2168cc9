//! Creates machines.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use ulid::Ulid;

use super::Call;
use crate::Action;
use crate::answer::Answer;
use crate::contract;
use crate::fault::{About, Effect};
use crate::host;
use crate::machine::Machine;
use crate::world::Shared;

/// What memory there may be for each CPU, in megabytes, and in which steps. Source: "General Rules" of
/// <https://fly.io/docs/machines/guides-examples/machine-sizing/> and the constants beside `MachinePresets` in fly-go.
const MEMORY: [(&str, u64, u64); 2] = [("shared", 256, 2048), ("performance", 2048, 8192)];
const MEMORY_STEP: u64 = 256;
/// How many CPUs there may be. Source: `MachinePresets` in fly-go.
const CPUS: [(&str, &[u64]); 2] = [("shared", &[1, 2, 4, 6, 8]), ("performance", &[1, 2, 4, 6, 8, 10, 12, 14, 16])];

pub(super) fn create(shared: &Arc<Shared>, call: &Call) -> Result<Answer, Answer> {
    let app = &call.target.app;
    let body = call.body.clone().unwrap_or_default();
    let mut config = body["config"].clone();
    let region = match body["region"].as_str().filter(|region| !region.is_empty()) {
        None => shared.settings.regions.first().map_or("", String::as_str),
        Some(region) => region,
    };
    if !shared.settings.regions.iter().any(|known| known == region) {
        return Err(Answer::invalid(format!("region {region} not found")));
    }
    contract::forget_unknown(&"Config".into(), &mut config);
    complete(&mut config);
    check_guest(&config["guest"])?;
    let image = config["image"].as_str().unwrap_or_default();
    let has_own =
        ["exec", "entrypoint"].iter().any(|name| config["init"][name].as_array().is_some_and(|v| !v.is_empty()));
    if !has_own && shared.settings.image(image).is_none() {
        return Err(Answer::refused(404, format!("not_found: image {image} not found")));
    }

    let mut world = shared.world.lock();
    let here = || world.machines.iter().filter(|machine| machine.app == *app && machine.is_here());
    let name = match body["name"].as_str().filter(|name| !name.is_empty()) {
        Some(name) => name.to_owned(),
        None => generated(),
    };
    if let Some(other) = here().find(|machine| machine.name == name) {
        // Word for word, since clients read the id out of it.
        let error = format!(
            "already_exists: unique machine name violation, machine ID {} already exists with name \"{name}\"",
            other.id
        );
        return Err(Answer::refused(409, error));
    }
    if shared.settings.machine_quota.is_some_and(|quota| here().count() >= quota) {
        return Err(Answer::refused(422, format!("app {app} has reached its limit of machines")));
    }
    let memory: u64 = here().filter(|machine| machine.region == region).map(Machine::memory_mb).sum();
    let wanted = config["guest"]["memory_mb"].as_u64().unwrap_or(256);
    if shared.settings.memory_quota_mb.is_some_and(|quota| memory + wanted > quota) {
        let error = format!(
            "organization \"simulator\" is using {memory} MB of memory in {region} which is over the allowed quota. \
             please consider other regions"
        );
        return Err(Answer::refused(403, error));
    }

    let mut machine = Machine::new(app, &name, region, config);
    if let Some(network) = &shared.network {
        machine.private_ip = network.address(machine.number());
    }
    let mut answer = machine.to_json();
    if let Some(seconds) = body["lease_ttl"].as_u64().filter(|seconds| *seconds > 0) {
        let nonce = format!("{:012x}", Ulid::new().random() & 0xffff_ffff_ffff);
        answer["nonce"] = nonce.clone().into();
        machine.lease = Some((nonce, SystemTime::now() + Duration::from_secs(seconds)));
    }
    if body["skip_launch"] != true {
        let size = size(&machine.config["guest"]);
        let about = About { action: Action::Create, region, size: &size };
        let wrong = world.faults.take(about, is_about_boot);
        host::boot(shared, &mut machine, wrong);
    }
    world.machines.push(machine);
    Ok(Answer::ok(answer))
}

pub(super) fn is_about_boot(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::SlowBoot { .. } | Effect::DieAtBoot { .. } | Effect::NeverConnect | Effect::OutOfMemory { .. }
    )
}

/// What Fly calls a machine with this guest, such as `performance-2x` or `a10`.
pub(super) fn size(guest: &Value) -> String {
    let cpus = guest["cpus"].as_u64().unwrap_or(1);
    match (guest["gpu_kind"].as_str(), guest["cpu_kind"].as_str().unwrap_or("shared")) {
        (Some(gpu), _) if !gpu.is_empty() => gpu.to_owned(),
        (_, "shared") => format!("shared-cpu-{cpus}x"),
        (_, kind) => format!("{kind}-{cpus}x"),
    }
}

/// Adds what the API adds: the smallest guest and the names of nothing.
fn complete(config: &mut Value) {
    let guest = &mut config["guest"];
    if guest.is_null() {
        *guest = json!({});
    }
    for (name, default) in [("cpu_kind", json!("shared")), ("cpus", json!(1))] {
        if guest[name].is_null() {
            guest[name] = default;
        }
    }
    if guest["memory_mb"].is_null() {
        guest["memory_mb"] = bounds(guest).0.into();
    }
    for name in ["init", "dns"] {
        if config[name].is_null() {
            config[name] = json!({});
        }
    }
}

fn bounds(guest: &Value) -> (u64, u64) {
    let cpus = guest["cpus"].as_u64().unwrap_or(1);
    let kind = guest["cpu_kind"].as_str().unwrap_or("shared");
    let of_kind = MEMORY.iter().find(|(name, ..)| *name == kind);
    of_kind.map_or((256, 256), |(_, least, most)| (least * cpus, most * cpus))
}

fn check_guest(guest: &Value) -> Result<(), Answer> {
    // Fly gives these as they are, without a class of error before them.
    let refused = |what: String| Err(Answer::refused(400, format!("invalid config.guest.{what}")));
    let kind = guest["cpu_kind"].as_str().unwrap_or_default();
    let cpus = guest["cpus"].as_u64().unwrap_or_default();
    let Some((_, allowed)) = CPUS.iter().find(|(name, _)| *name == kind) else {
        return refused(format!("cpu_kind, must be shared or performance, not {kind:?}"));
    };
    if !allowed.contains(&cpus) {
        return refused(format!("cpus, {kind} machines have one of {allowed:?}, not {cpus}"));
    }
    let (memory, (least, most)) = (guest["memory_mb"].as_u64().unwrap_or_default(), bounds(guest));
    match memory {
        memory if memory < least => refused(format!("memory_mb, minimum required {least} MiB")),
        memory if memory > most => refused(format!("memory_mb, cannot exceed {most} MiB")),
        memory if !memory.is_multiple_of(MEMORY_STEP) => refused("memory_mb, must be a multiple of 256".to_owned()),
        _ => Ok(()),
    }
}

fn generated() -> String {
    const ADJECTIVES: [&str; 8] = ["aged", "bitter", "calm", "dark", "empty", "falling", "green", "hidden"];
    const NOUNS: [&str; 8] = ["bird", "cloud", "dew", "field", "hill", "lake", "moon", "wind"];
    let random = Ulid::new().random();
    let (adjective, noun) = (ADJECTIVES[(random & 7) as usize], NOUNS[(random >> 3 & 7) as usize]);
    format!("{adjective}-{noun}-{}", (random >> 6) % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_no_more_and_no_less_memory_than_its_cpus_allow() {
        for (kind, cpus, memory, refused) in [
            ("shared", 1, 256, None),
            ("shared", 4, 512, Some("minimum required 1024 MiB")),
            ("shared", 1, 4096, Some("cannot exceed 2048 MiB")),
            ("shared", 1, 300, Some("multiple of 256")),
            ("performance", 2, 4096, None),
            ("performance", 8, 8192, Some("minimum required 16384 MiB")),
            ("performance", 3, 8192, Some("cpus")),
            ("quantum", 1, 256, Some("cpu_kind")),
        ] {
            let guest = json!({ "cpu_kind": kind, "cpus": cpus, "memory_mb": memory });
            match (check_guest(&guest), refused) {
                (Ok(()), None) => {}
                (Err(answer), Some(why)) => {
                    let told = answer.body.expect("a body")["error"].to_string();
                    assert!(answer.status == 400 && told.contains(why), "{guest}: {told}");
                }
                (result, _) => panic!("{guest}: {result:?}"),
            }
        }
    }

    #[test]
    fn a_size_has_the_name_that_fly_gives_it() {
        assert_eq!(size(&json!({ "cpu_kind": "performance", "cpus": 4 })), "performance-4x");
        assert_eq!(size(&json!({})), "shared-cpu-1x");
        assert_eq!(size(&json!({ "cpu_kind": "performance", "cpus": 8, "gpu_kind": "a10" })), "a10");
    }
}
