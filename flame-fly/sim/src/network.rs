//! The private IPv6 network of the machines: a bridge here, and a network namespace for each of them.
//!
//! Namespaces have no name, so nothing has to be mounted for them, and they go with their last process. What can be left
//! behind is the bridge. Its name is also that of an abstract Unix socket, which its simulator holds, and which the
//! kernel frees however that ends: a bridge whose socket is free is swept by the next simulator.

use std::io::{self, Write};
use std::net::Ipv6Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ulid::Ulid;

/// How the names of our bridges start; an interface's name has 15 bytes at most.
const BRIDGES: &str = "flysim";

/// It takes a millisecond or two.
const ROUTE_BOUND: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Network {
    /// What its interfaces are named after: eight hexadecimal digits.
    name: String,
    prefix: [u16; 2],
    made: AtomicU32,
    is_down: AtomicBool,
    _held: UnixListener,
}

impl Network {
    /// Makes the bridge, and tries whether namespaces can be made. Blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// What is not possible here: mostly it takes root.
    pub(crate) fn start(prefix: Option<[u16; 2]>) -> io::Result<Self> {
        sweep();
        let random = Ulid::new().random();
        let prefix = prefix.unwrap_or([(random >> 16) as u16, random as u16]);
        let number = (random >> 32) as u32;
        let name = format!("{number:08x}");
        let held = hold(&format!("{BRIDGES}{name}"))?;
        let network = Self { name, prefix, made: AtomicU32::new(0), is_down: AtomicBool::new(false), _held: held };
        // On a thread of its own, since it is never the same again.
        let tried = std::thread::scope(|scope| scope.spawn(|| unshare(CloneFlags::CLONE_NEWNET)).join());
        tried.expect("unshare does not panic").map_err(io::Error::from)?;
        let (bridge, gateway) = (network.bridge(), network.gateway());
        // Without an address of its own a bridge has the lowest one of its ports: with each machine that comes or goes
        // it may be another, and those who know the old one send into nothing for seconds.
        let [a, b, c, d] = number.to_be_bytes();
        ip(&format!(
            "link add {bridge} address 02:f1:{a:02x}:{b:02x}:{c:02x}:{d:02x} type bridge\nlink set {bridge} up\n\
             addr add {gateway}/64 dev {bridge} nodad\n"
        ))?;
        wait_for_route(gateway)?;
        Ok(network)
    }

    fn bridge(&self) -> String {
        format!("{BRIDGES}{}", self.name)
    }

    /// The address of whoever is outside of the machines, on this side of the bridge.
    pub(crate) fn gateway(&self) -> Ipv6Addr {
        let [high, low] = self.prefix;
        Ipv6Addr::new(0xfdaa, high, low, 0xa7b, 0, 0, 0, 1)
    }

    /// The address of a machine, which goes by its id as Fly's do by its host.
    pub(crate) fn address(&self, machine: u64) -> Ipv6Addr {
        let [high, low] = self.prefix;
        Ipv6Addr::new(0xfdaa, high, low, 0xa7b, (machine >> 32) as u16, (machine >> 16) as u16, machine as u16, 2)
    }

    /// Takes the calling thread, and with it what it starts, into a new namespace with this address.
    ///
    /// # Errors
    ///
    /// What the kernel or `ip` says; the thread is of no more use then.
    pub(crate) fn enter_new(&self, address: Ipv6Addr) -> io::Result<()> {
        let outside = std::fs::File::open("/proc/self/ns/net")?;
        unshare(CloneFlags::CLONE_NEWNET)?;
        let inside = std::fs::File::open("/proc/thread-self/ns/net")?;
        let veth = format!("fs{}{:x}", self.name, self.made.fetch_add(1, Ordering::Relaxed) & 0xf_ffff);
        let process = std::process::id();
        ip(&format!(
            "link set lo up\nlink add eth0 type veth peer name {veth} netns {process}\nlink set eth0 up\n\
             addr add {address}/64 dev eth0 nodad\n"
        ))?;
        // The other end can only be put on the bridge from where the bridge is.
        setns(&outside, CloneFlags::CLONE_NEWNET)?;
        let attached = ip(&format!("link set {veth} master {}\nlink set {veth} up\n", self.bridge()));
        setns(&inside, CloneFlags::CLONE_NEWNET)?;
        attached?;
        wait_for_route(address)
    }

    /// Removes the bridge. Namespaces go with the processes in them.
    pub(crate) fn take_down(&self) {
        if self.is_down.swap(true, Ordering::SeqCst) {
            return;
        }
        remove(&self.bridge());
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.take_down();
    }
}

/// Waits until the namespace of the calling thread receives what is sent to this address of its own.
///
/// The kernel takes an address at once, and makes its route a moment later.
fn wait_for_route(to: Ipv6Addr) -> io::Result<()> {
    let (since, route) = (Instant::now(), format!("{:032x} 80 ", to.to_bits()));
    while !std::fs::read_to_string("/proc/thread-self/net/ipv6_route")?.lines().any(|line| line.starts_with(&route)) {
        if since.elapsed() > ROUTE_BOUND {
            return Err(io::Error::other(format!("{to} has no route after {ROUTE_BOUND:?}")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The namespace of a process or of the calling thread, as the kernel names it.
pub(crate) fn namespace_of(process: &str) -> Option<String> {
    let link = std::fs::read_link(Path::new("/proc").join(process).join("ns/net")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

fn hold(bridge: &str) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(bridge)?)
}

/// Takes down the bridges of simulators that are gone, and ends what is left in their machines.
fn sweep() {
    for bridge in listed(&["link", "show", "type", "bridge"]) {
        let Some(name) = bridge["ifname"].as_str().filter(|name| name.starts_with(BRIDGES)) else { continue };
        // Whoever can hold its socket knows that nobody else does.
        let Ok(_held) = hold(name) else { continue };
        for address in listed(&["-6", "addr", "show", "dev", name, "scope", "global"]) {
            let address = address["addr_info"][0]["local"].as_str().and_then(|address| address.parse().ok());
            address.into_iter().for_each(kill_machines_beside);
        }
        remove(name);
    }
}

/// Takes down a bridge, and what ties machines to it.
///
/// That would go with the namespaces, but a connection whose end does not arrive any more holds one for minutes.
fn remove(bridge: &str) {
    let ports = listed(&["link", "show", "master", bridge]);
    for name in ports.iter().filter_map(|port| port["ifname"].as_str()) {
        // It may go by itself meanwhile.
        let _ = ip(&format!("link del {name}\n"));
    }
    if let Err(err) = ip(&format!("link del {bridge}\n")) {
        tracing::warn!(bridge, %err, "cannot take down a bridge");
    }
}

/// What `ip` lists, in the namespace of the calling thread.
fn listed(what: &[&str]) -> Vec<serde_json::Value> {
    let listed = Command::new("ip").arg("-json").args(what).output();
    listed.ok().and_then(|listed| serde_json::from_slice(&listed.stdout).ok()).unwrap_or_default()
}

/// Ends the processes of machines in the network of this gateway: by what Fly puts into their environment, since the
/// namespaces have no names.
fn kill_machines_beside(gateway: Ipv6Addr) {
    let here = namespace_of("self");
    let is_beside = |number: &str| {
        let environment = std::fs::read(Path::new("/proc").join(number).join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        let address = variables.find_map(|variable| variable.strip_prefix(b"FLY_PRIVATE_IP="))?;
        let address: Ipv6Addr = std::str::from_utf8(address).ok()?.parse().ok()?;
        // A parent outside may have the gateway's address in its own.
        Some(address.segments()[..4] == gateway.segments()[..4] && namespace_of(number)? != *here.as_ref()?)
    };
    kill_all(|number| is_beside(number) == Some(true));
}

/// Ends all that is in a namespace.
pub(crate) fn kill_all_of(namespace: &str) {
    kill_all(|number| namespace_of(number).as_deref() == Some(namespace));
}

fn kill_all(of: impl Fn(&str) -> bool) {
    // What forks while we look is found by the next look.
    for _ in 0..100 {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
        let numbers = names.filter_map(|name| Some((name.parse::<i32>().ok()?, name)));
        let left: Vec<i32> = numbers.filter(|(_, name)| of(name)).map(|(number, _)| number).collect();
        if left.is_empty() {
            return;
        }
        for number in left {
            let _ = kill(Pid::from_raw(number), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    tracing::warn!("processes of a machine do not end");
}

/// Runs commands of `ip`, one a line, in the namespace of the calling thread.
fn ip(commands: &str) -> io::Result<()> {
    let mut child = Command::new("ip")
        .args(["-6", "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|err| io::Error::new(err.kind(), format!("cannot run ip (package iproute2): {err}")))?;
    child.stdin.take().expect("it is piped").write_all(commands.as_bytes())?;
    let ended = child.wait_with_output()?;
    if ended.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ip: {}", String::from_utf8_lossy(&ended.stderr).trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_that_come_and_go_do_not_change_the_address_of_the_bridge() {
        let network = Network::start(None).unwrap();
        let path = Path::new("/sys/class/net").join(network.bridge()).join("address");
        let address = || std::fs::read_to_string(&path).unwrap();
        let before = address();
        for machine in 0..4 {
            // Its namespace goes with the thread.
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    network.enter_new(network.address(machine)).unwrap();
                    assert_eq!(address(), before);
                });
            });
            assert_eq!(address(), before);
        }
    }
}
