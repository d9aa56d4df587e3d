//! Machines that are network namespaces, and a wire between them with latency, loss and a switch to cut it.
//!
//! Each namespace has a TUN device whose other end is held here; packets are passed on late, or not at all. It does
//! what `tc netem` does, without the kernel module that many machines lack.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::harness::Absent;

/// What a wire does to packets.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Time that a byte takes in one direction.
    pub delay: Duration,
    /// Lost packets in a thousand.
    pub lost_per_mille: u64,
}

/// Namespaces connected with each other.
pub struct Wire {
    names: Vec<String>,
    switch: Arc<Switch>,
}

struct Switch {
    weather: Weather,
    cut: AtomicBool,
    stop: AtomicBool,
    n_passed: AtomicU64,
    n_lost: AtomicU64,
}

/// Packets on their way to one device.
#[derive(Default)]
struct Lane {
    packets: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    came: Condvar,
}

/// `ioctl` that names a TUN device, and its flags: IP packets without a header of their own.
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_TUN_NO_PI: i16 = 0x1001;

impl Wire {
    /// Address of the k-th namespace, from 0.
    pub fn address(k: usize) -> String {
        format!("10.77.0.{}", k + 1)
    }

    /// Makes this many namespaces.
    ///
    /// # Errors
    /// A machine that does not allow it: no root, no `ip`, no TUN devices.
    pub fn between(n: usize, weather: Weather) -> Result<Wire, Absent> {
        Self::try_between(n, weather)
            .map_err(|why| Absent::new(format!("needs root, `ip` and TUN devices: {why}")))
    }

    fn try_between(n: usize, weather: Weather) -> Result<Wire, String> {
        let switch = Arc::new(Switch {
            weather,
            cut: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            n_passed: AtomicU64::new(0),
            n_lost: AtomicU64::new(0),
        });
        let mut wire = Wire { names: vec![], switch };
        let mut devices = vec![];
        for k in 0..n {
            let name = format!("vrft{}-{k}", std::process::id());
            let device = open_tun(&format!("vrft{k}"))?;
            ip(&["netns", "add", &name])?;
            wire.names.push(name.clone());
            ip(&["link", "set", &format!("vrft{k}"), "netns", &name])?;
            let address = format!("{}/24", Wire::address(k));
            ip(&["-n", &name, "addr", "add", &address, "dev", &format!("vrft{k}")])?;
            ip(&["-n", &name, "link", "set", &format!("vrft{k}"), "up"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            devices.push(device);
        }
        wire.connect(devices)?;
        Ok(wire)
    }

    fn connect(&self, devices: Vec<File>) -> Result<(), String> {
        let lanes: Vec<Arc<Lane>> = devices.iter().map(|_| Arc::default()).collect();
        for (device, lane) in devices.into_iter().zip(&lanes) {
            let reader = device.try_clone().map_err(|error| error.to_string())?;
            let switch = Arc::clone(&self.switch);
            let all = lanes.clone();
            std::thread::spawn(move || read(reader, &all, &switch));
            let switch = Arc::clone(&self.switch);
            let lane = Arc::clone(lane);
            std::thread::spawn(move || deliver(device, &lane, &switch));
        }
        Ok(())
    }

    /// A command that runs on the k-th machine.
    pub fn on(&self, k: usize, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[k]]).arg(program);
        command
    }

    /// Nothing passes until the wire is mended.
    pub fn cut(&self) {
        self.switch.cut.store(true, Ordering::Relaxed);
    }

    /// Everything passes again.
    pub fn mend(&self) {
        self.switch.cut.store(false, Ordering::Relaxed);
    }

    /// Packets that passed and packets that were lost.
    pub fn counts(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.switch.n_passed), count(&self.switch.n_lost))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.switch.stop.store(true, Ordering::Relaxed);
        for name in &self.names {
            // Nothing to be done about a namespace that does not go.
            drop(ip(&["netns", "del", name]));
        }
    }
}

#[expect(unsafe_code, reason = "there is no safe call for devices")]
fn open_tun(name: &str) -> Result<File, String> {
    let file = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    let file = file.map_err(|error| format!("cannot open /dev/net/tun: {error}"))?;
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&IFF_TUN_NO_PI.to_ne_bytes());
    // SAFETY: the request is as long as the kernel's `ifreq` and lives throughout the call.
    let code = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF as _, request.as_mut_ptr()) };
    match code {
        0 => Ok(file),
        _ => Err(format!("cannot make a TUN device: {}", std::io::Error::last_os_error())),
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output();
    let output = output.map_err(|error| format!("cannot run ip: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Takes packets from one device and puts them on the lane of their destination.
fn read(mut device: File, lanes: &[Arc<Lane>], switch: &Switch) {
    let mut packet = vec![0; 1 << 16];
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    while let Ok(n) = device.read(&mut packet) {
        let lane =
            (n >= 20 && packet[0] >> 4 == 4).then(|| usize::from(packet[19]).wrapping_sub(1));
        let Some(lane) = lane.and_then(|k| lanes.get(k)) else { continue };
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let lost = random % 1000 < switch.weather.lost_per_mille;
        if lost || switch.cut.load(Ordering::Relaxed) {
            switch.n_lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        switch.n_passed.fetch_add(1, Ordering::Relaxed);
        let due = Instant::now() + switch.weather.delay;
        let mut packets = lane.packets.lock().unwrap_or_else(PoisonError::into_inner);
        packets.push_back((due, packet[..n].to_vec()));
        lane.came.notify_one();
    }
}

/// Hands packets to one device when they are due.
fn deliver(mut device: File, lane: &Lane, switch: &Switch) {
    while !switch.stop.load(Ordering::Relaxed) {
        let packets = lane.packets.lock().unwrap_or_else(PoisonError::into_inner);
        let waited =
            lane.came.wait_timeout_while(packets, Duration::from_millis(200), |p| p.is_empty());
        let (mut packets, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let Some((due, packet)) = packets.pop_front() else { continue };
        drop(packets);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // A machine that is gone takes no packets.
        if device.write_all(&packet).is_err() {
            return;
        }
    }
}
