//! What is done to pools, and what ends it.

/// A fault by the names that the simulator has for it.
pub struct Fault {
    pub begin: (&'static str, &'static str),
    pub end: End,
}

#[derive(Clone, Copy, PartialEq)]
pub enum End {
    /// It is over as soon as it was.
    Passed,
    /// Another argument ends it.
    With(&'static str),
    /// A host is gone: another one takes over if it was the master, and later it comes back.
    Return,
    /// People look at the new certificate and accept it.
    Acceptance,
}

const fn fault(name: &'static str, argument: &'static str, end: End) -> Fault {
    Fault {
        begin: (name, argument),
        end,
    }
}

pub const FAULTS: &[Fault] = &[
    fault("cut", "", End::Passed),
    fault("refuse", "on", End::With("off")),
    fault("black-hole", "on", End::With("off")),
    fault("black-hole", "swallow", End::With("off")),
    fault("latency", "400", End::With("0")),
    // Longer than anybody waits.
    fault("latency", "20000", End::With("0")),
    fault("black-hole", "on@0", End::With("off@0")),
    fault("latency", "5000@0", End::With("0@0")),
    fault("truncate", "all@0", End::With("off@0")),
    fault("cut", "@0", End::Passed),
    fault("jitter", "300", End::With("0")),
    fault("slow", "20000", End::With("0")),
    fault("http-500", "all", End::With("off")),
    fault("http-500", "3", End::Passed),
    fault("truncate", "all", End::With("off")),
    fault("truncate", "2", End::Passed),
    fault("malformed", "all", End::With("off")),
    fault("malformed", "2", End::Passed),
    fault("content-type", "all", End::With("off")),
    fault("content-type", "2", End::Passed),
    fault("expire-sessions", "", End::Passed),
    fault("restart-toolstack", "", End::Passed),
    fault("drop-deletions", "20", End::With("0")),
    fault("slave-of", "127.0.0.77", End::With("off")),
    fault("change-master", "1", End::Passed),
    fault("kill-master", "", End::Return),
    fault("power-off", "2", End::Return),
    fault("change-certificate", "", End::Acceptance),
    fault("clock-skew", "-3600", End::With("0")),
    fault("strange", "VM", End::With("off")),
    fault("vanish", "20", End::With("0")),
    fault("claim", "on@1", End::With("off@1")),
];
