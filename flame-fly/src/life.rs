//! Tells one life of a parent from the next, on the same machine.

use std::fs;

/// Names this process among all that ran on this machine: the system's boot, the process, and when that started.
pub(crate) fn this() -> Option<String> {
    let pid = std::process::id();
    Some(format!("{}.{pid}.{}", boot()?, started(pid)?))
}

/// Whether the process of this name is gone; `false` where that cannot be told.
pub(crate) fn is_over(life: &str) -> bool {
    let mut parts = life.split('.');
    let (Some(then), Some(pid), Some(since)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let (Some(now), Ok(pid)) = (boot(), pid.parse()) else { return false };
    then != now || started(pid).is_none_or(|started| started != since)
}

fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

/// When a process that lives was started, in ticks since the boot.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it can hold anything, brackets too.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18).map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_not_over() {
        assert!(!is_over(&this().unwrap()));
    }

    #[test]
    fn a_process_that_has_ended_is_over() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let life = format!("{}.{}.{}", boot().unwrap(), child.id(), started(child.id()).unwrap());
        assert!(!is_over(&life));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_over(&life));
    }

    #[test]
    fn another_process_of_the_same_number_is_another_life() {
        let (pid, started) = (std::process::id(), started(std::process::id()).unwrap());
        let boot = boot().unwrap();
        assert!(is_over(&format!("{boot}.{pid}.1{started}")), "it started at another time");
        assert!(is_over(&format!("0{boot}.{pid}.{started}")), "it ran before the machine was restarted");
    }

    #[test]
    fn what_is_no_life_is_not_over() {
        assert!(!is_over("") && !is_over("1.2") && !is_over("1.x.3"));
    }
}
