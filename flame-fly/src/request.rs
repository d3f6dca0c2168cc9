//! The machine that is asked for.

use std::fmt;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use flame_actors::Boot;
use serde_json::{Map, Value, json};

use crate::life;
use crate::settings::{Complete, Settings, Size};

/// Marks of a runner's machine, in its metadata.
pub(crate) mod mark {
    /// The machine of its parent.
    pub(crate) const PARENT_MACHINE: &str = "flame_parent_machine";
    /// The process there.
    pub(crate) const PARENT_LIFE: &str = "flame_parent_life";
    /// That process' node name.
    pub(crate) const PARENT: &str = "flame_parent";
    /// Its own node name.
    pub(crate) const RUNNER: &str = "flame_runner";
    pub(crate) const POOL: &str = "flame_pool";
    pub(crate) const BUILD: &str = "flame_build";
    /// Until then, in seconds since 1970, it has joined its parent, or never will.
    pub(crate) const EXPIRES: &str = "flame_expires";
}

/// Where a machine is to be, and how large.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    region: Option<&'a str>,
    size: &'a Size,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.size, self.region.unwrap_or("any region"))
    }
}

impl Settings {
    /// Every region with the first size, then every region with the next.
    pub(crate) fn places(&self) -> Vec<Place<'_>> {
        let sizes = std::iter::once(&self.size).chain(&self.fallback_sizes);
        let regions = || {
            std::iter::once(self.region.as_deref())
                .chain(self.fallback_regions.iter().map(|region| Some(region.as_str())))
        };
        sizes.flat_map(|size| regions().map(move |region| Place { region, size })).collect()
    }

    /// All of the request but the place.
    pub(crate) fn machine(&self, complete: &Complete<'_>, boot: &Boot, invitation: (&str, String)) -> Value {
        let mut env = self.env.clone();
        env.insert(invitation.0.to_owned(), invitation.1);
        let config = json!({
            "image": complete.image,
            "env": env,
            "metadata": self.marks(boot),
            // Nothing is left of it once it has ended, and nobody starts it again.
            "auto_destroy": true,
            "restart": { "policy": "no" },
            // Requests for the application are not for it.
            "dns": { "skip_registration": true },
            "init": self.init,
            "services": self.services,
            "mounts": self.mounts,
            "stop_config": self.stop_config,
        });
        without_nulls(json!({ "name": name(boot), "config": without_nulls(config) }))
    }

    /// Without `fly_platform_version`, since `fly deploy` replaces the machines that have that, and no others
    /// (<https://github.com/superfly/fly-go/blob/main/machine_types.go>, `IsFlyAppsPlatform`).
    fn marks(&self, boot: &Boot) -> Map<String, Value> {
        let left = boot.deadline().saturating_duration_since(Instant::now());
        let expires = (SystemTime::now() + left).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let ours = [
            (mark::PARENT_MACHINE, self.machine_id.clone()),
            (mark::PARENT_LIFE, life::this()),
            (mark::PARENT, Some(boot.parent().to_owned())),
            (mark::RUNNER, Some(boot.runner().to_owned())),
            (mark::POOL, Some(boot.pool().to_owned())),
            (mark::BUILD, Some(boot.build().to_owned())),
            (mark::EXPIRES, Some(expires.to_string())),
        ];
        let theirs = self.metadata.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        theirs.chain(ours.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())))).collect()
    }
}

/// The same machine in this place.
pub(crate) fn at(machine: &Value, place: &Place<'_>) -> Value {
    let mut machine = machine.clone();
    machine["config"]["guest"] = json!(place.size);
    if let Some(region) = place.region {
        machine["region"] = region.into();
    }
    machine
}

/// A name that no other machine has, and that a host can have: the pool's, and what is unique of the runner's.
pub(crate) fn name(boot: &Boot) -> String {
    machine_name(boot.pool(), boot.runner())
}

fn machine_name(pool: &str, runner: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let pool: String = pool.chars().map(fits).take(24).collect();
    let unique: String = runner.rsplit('-').next().unwrap_or(runner).chars().map(fits).collect();
    format!("flame-{}-{unique}", pool.trim_matches('-'))
}

fn without_nulls(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_is_tried_before_another_size() {
        let mut settings = Settings::new();
        settings.region = Some("fra".to_owned());
        settings.fallback_regions = vec!["ams".to_owned()];
        settings.size = Size::new("performance", 2, 4096);
        settings.fallback_sizes = vec![Size::new("shared", 4, 2048)];
        let places: Vec<_> = settings.places().iter().map(ToString::to_string).collect();
        assert_eq!(
            places,
            [
                "performance-2x with 4096 MiB in fra",
                "performance-2x with 4096 MiB in ams",
                "shared-4x with 2048 MiB in fra",
                "shared-4x with 2048 MiB in ams",
            ]
        );
    }

    #[test]
    fn a_machines_name_is_one_that_a_host_can_have() {
        let name = machine_name("Big_Thumbnails_of_all_the_videos", "web-01kax.Big_Thumb-01kb2c3d4e5f6g7h8j9k0m1n2p");
        assert_eq!(name, "flame-big-thumbnails-of-all-th-01kb2c3d4e5f6g7h8j9k0m1n2p");
        assert!(name.len() <= 63);
    }
}
