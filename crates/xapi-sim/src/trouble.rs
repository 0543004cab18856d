//! The faults by name, for the command line and the control port: `latency=200`, `kill-master`, `black-hole=on`.

use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::faults::ALL;
use crate::pool::SimPool;

/// A fault that can be switched while a pool runs.
pub struct Trouble {
    pub name: &'static str,
    /// What comes behind the `=`; empty when nothing does.
    pub argument: &'static str,
    pub explanation: &'static str,
}

const fn trouble(name: &'static str, argument: &'static str, explanation: &'static str) -> Trouble {
    Trouble {
        name,
        argument,
        explanation,
    }
}

pub const TROUBLES: &[Trouble] = &[
    trouble("cut", "", "Cuts every open connection, whatever it is doing."),
    trouble(
        "refuse",
        "on|off",
        "Closes the listeners, so that new connections are refused, and cuts the open ones.",
    ),
    trouble(
        "black-hole",
        "on|swallow|off",
        "Connections are accepted and requests are read, but answers never come. `off` lets the waiting ones through after \
         `on`; after `swallow` they are lost, and their connections stay open and silent.",
    ),
    trouble(
        "latency",
        "MILLISECONDS",
        "Every answer waits that long; when it ends, waiting answers go at once.",
    ),
    trouble(
        "jitter",
        "MILLISECONDS",
        "Every answer waits up to that long, each a different time.",
    ),
    trouble(
        "slow",
        "BYTES",
        "A slow consumer and producer: that many bytes per second are read and written; 0 ends it.",
    ),
    trouble(
        "http-500",
        "COUNT|all",
        "The next requests are answered with HTTP 500 and an HTML page.",
    ),
    trouble(
        "truncate",
        "COUNT|all",
        "The next answers stop in the middle of their body and the connection is closed.",
    ),
    trouble(
        "malformed",
        "COUNT|all",
        "The next answers are complete HTTP with half of their body, then bytes that are neither JSON, XML nor UTF-8.",
    ),
    trouble(
        "content-type",
        "COUNT|all",
        "The next answers have the right body, but are said to be text/html.",
    ),
    trouble(
        "expire-sessions",
        "",
        "All sessions end: every call, also a blocked event.from, fails with SESSION_INVALID.",
    ),
    trouble(
        "restart-toolstack",
        "",
        "Sessions, the history of deletions and connections are gone; event tokens stay valid.",
    ),
    trouble(
        "drop-deletions",
        "COUNT",
        "The next deletions make no event, as if the history had been pruned; valid_ref_counts tell.",
    ),
    trouble(
        "vanish",
        "COUNT",
        "The next event answers lack an object (a task, if there is one) that is deleted while they are made: it is in \
         valid_ref_counts, its deletion is the next event.",
    ),
    trouble(
        "slave-of",
        "ADDRESS|off",
        "Logins fail with HOST_IS_SLAVE and this address.",
    ),
    trouble(
        "claim",
        "on@HOST|off@HOST",
        "That host answers as a master although another one is, as one that does not know yet (split brain): logins \
         succeed there and show the pool's records.",
    ),
    trouble(
        "change-master",
        "HOST",
        "The host of that number (0 is the first) becomes master; the others answer HOST_IS_SLAVE. After kill-master \
         this is the emergency transition.",
    ),
    trouble(
        "kill-master",
        "",
        "The master's machine dies: it refuses connections, the others name it in HOST_IS_SLAVE all the same.",
    ),
    trouble("power-off", "HOST", "The machine of that number dies."),
    trouble(
        "power-on",
        "HOST",
        "A dead machine comes back, as a supporter if another one is master now.",
    ),
    trouble(
        "change-certificate",
        "",
        "New TLS certificates; connections are cut and the Certificate records are replaced. Refused without --tls.",
    ),
    trouble(
        "clock-skew",
        "SECONDS",
        "The hosts' clocks are wrong by that much (may be negative); 0 ends it.",
    ),
    trouble(
        "strange",
        "CLASS|CLASS/REF|off",
        "One object (the first of the class, unless named) is shown with an unknown field and unknown members in all \
         its enums, as a later release would.",
    ),
    trouble(
        "churn",
        "RATE",
        "Changes per second that the world makes by itself.",
    ),
    trouble(
        "off",
        "",
        "Ends all faults of connections, answers and records; hosts, certificates, churn and lost sessions stay as they are.",
    ),
];

/// These take `@HOST` behind their value, for one host alone.
pub const OF_A_HOST: &[&str] = &[
    "cut",
    "black-hole",
    "latency",
    "jitter",
    "slow",
    "http-500",
    "truncate",
    "malformed",
    "content-type",
    "claim",
];

impl SimPool {
    /// Switches a fault by its name in [`TROUBLES`], as the command line and the control port do.
    pub async fn trouble(&self, name: &str, argument: &str) -> anyhow::Result<()> {
        let known = TROUBLES.iter().find(|trouble| trouble.name == name);
        let known = known.with_context(|| format!("there is no fault '{name}'"))?;
        ensure!(
            !known.argument.is_empty() || argument.is_empty() || argument.starts_with('@') && name == "cut",
            "'{name}' takes no value"
        );
        // Behind an @: for the host of that number alone.
        let (argument, host) = match argument.split_once('@') {
            Some((argument, host)) if OF_A_HOST.contains(&name) => {
                let host = host
                    .parse()
                    .with_context(|| format!("'{host}' is no number of a host"))?;
                (argument, Some(host))
            }
            _ => (argument, None),
        };
        let own = host.map(|host| self.faults_of(host)).transpose()?;
        let faults = own.as_deref().unwrap_or(self.pool_faults());
        let wrong = || format!("'{name}' takes {}, not '{argument}'", known.argument);
        let number = || argument.parse::<u64>().with_context(wrong);
        let milliseconds = || number().map(Duration::from_millis);
        let count = || match argument {
            "all" => Ok(ALL),
            "off" => Ok(0),
            text => text.parse().with_context(wrong),
        };
        let switch = || match argument {
            "on" | "" => Ok(true),
            "off" => Ok(false),
            _ => bail!(wrong()),
        };
        match name {
            "cut" => match host {
                Some(host) => self.cut_host(host),
                None => self.cut_connections(),
            },
            "refuse" => self.set_listening(!switch()?).await?,
            "black-hole" if argument == "swallow" => faults.swallow(),
            "black-hole" => faults.freeze(switch()?),
            "latency" => faults.set_latency(milliseconds()?),
            "jitter" => faults.set_jitter(milliseconds()?),
            "slow" => faults.set_speed(number()?),
            "http-500" => faults.failing.set(count()?),
            "truncate" => faults.truncated.set(count()?),
            "malformed" => faults.malformed.set(count()?),
            "content-type" => faults.mislabelled.set(count()?),
            "expire-sessions" => self.expire_sessions(),
            "restart-toolstack" => self.restart_toolstack(),
            "drop-deletions" => self.drop_deletions(count()?),
            "vanish" => self.vanish(count()?),
            "slave-of" => self.set_slave_of(Some(argument.to_owned()).filter(|address| address != "off")),
            "claim" => own.as_deref().with_context(wrong)?.claim_master(switch()?),
            "change-master" => self.change_master(count()?)?,
            "kill-master" => drop(self.kill_master().await?),
            "power-off" => self.power_off(count()?).await?,
            "power-on" => self.power_on(count()?).await?,
            "change-certificate" => drop(self.change_certificate()?),
            "clock-skew" => self.set_clock_skew(argument.parse().with_context(wrong)?),
            "strange" => self.strange(argument)?,
            "churn" => self.set_churn(argument.parse().with_context(wrong)?),
            _ => {
                self.set_listening(true).await?;
                self.end_faults();
                self.drop_deletions(0);
                self.set_clock_skew(0);
                self.strange("off")?;
            }
        }
        Ok(())
    }

    fn strange(&self, argument: &str) -> anyhow::Result<()> {
        if argument == "off" {
            self.write(|db| db.forget_strangers());
            return Ok(());
        }
        let (class, reference) = argument.split_once('/').unwrap_or((argument, ""));
        let class = crate::model::model()
            .class_of_any_case(class)
            .with_context(|| format!("there is no class '{class}'"))?;
        let first = self.read(|db| db.refs(&class.name).first().map(ToString::to_string));
        let reference = match reference {
            "" => first.with_context(|| format!("there is no {}", class.name))?,
            reference => reference.to_owned(),
        };
        ensure!(
            self.set_strange(&class.name, &reference, true),
            "there is no {} {reference}",
            class.name
        );
        Ok(())
    }
}
