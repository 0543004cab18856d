//! What this machine is.

use std::fs;

/// Prints processor, memory, kernel.
pub fn print() -> anyhow::Result<()> {
    let value = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default()
            .to_owned();
        line.split_once(':')
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let processors = std::thread::available_parallelism()?;
    let memory: f64 = value("/proc/meminfo", "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or(0.0);
    println!(
        "machine: {processors} x {}, {:.1} GiB, Linux {}",
        value("/proc/cpuinfo", "model name"),
        memory / 1_048_576.0,
        fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
    );
    println!("programs: release builds; server, simulator and clients share the machine\n");
    Ok(())
}
