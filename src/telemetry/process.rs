//! What the operating system says of this process: `/proc/self` on Linux, nothing elsewhere.

use std::{fs, time::Duration};

/// This process at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process {
    /// Memory that is really there, in bytes.
    pub resident_bytes: u64,
    /// Time on processors, of the kernel too.
    pub cpu: Duration,
    /// Open file descriptors.
    pub open_files: usize,
    /// Threads.
    pub threads: u64,
}

/// Looks; `None` where there is no such file system.
#[must_use]
pub fn look() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in brackets, may hold anything; what is behind it is counted from field 3 (proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let pages = u64::try_from(rustix::param::page_size()).ok()?;
    let ticks = field(14)? + field(15)?;
    #[allow(clippy::cast_precision_loss)] // ticks of a process's life
    let cpu = Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64);
    Some(Process {
        resident_bytes: field(24)? * pages,
        cpu,
        open_files: fs::read_dir("/proc/self/fd").ok()?.count(),
        threads: field(20)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_has_memory_files_and_threads() {
        let process = look().unwrap();
        assert!(process.resident_bytes > 1024 * 1024, "{process:?}");
        assert!(process.open_files >= 3 && process.threads >= 1, "{process:?}");
    }
}
