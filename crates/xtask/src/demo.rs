//! `demo`: the product with simulated pools, from nothing to a browser in one command.

use crate::{
    running::{self, Running},
    web,
    workspace::{Workspace, step},
};
use std::net::SocketAddr;

#[derive(clap::Args)]
pub struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Simulated pools
    #[arg(long, default_value_t = 2)]
    pools: usize,
    /// Hosts in each pool
    #[arg(long, default_value_t = 3)]
    hosts: usize,
    /// VMs in each pool
    #[arg(long, default_value_t = 150)]
    vms: usize,
    /// Changes per second in each pool
    #[arg(long, default_value_t = 5.0)]
    churn: f64,
    /// Optimised builds: slower to make, as fast as the product is
    #[arg(long)]
    release: bool,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    web::build(&web::Options {
        release: options.release,
    })?;
    let profile = if options.release { "release" } else { "debug" };
    step("server and simulator: compile", || {
        workspace.programs(options.release)
    })?;
    let password = running::random_password()?;
    let text = |value: &dyn std::fmt::Display| value.to_string();
    let mut running = Running::start(
        &workspace,
        &running::Options {
            listen: options.listen,
            data_dir: running::fresh_folder(&workspace.target.join("demo"))?,
            profile,
            password: password.clone(),
            simulator: [
                ("--listen", "127.0.0.1:0".to_owned()),
                ("--pools", text(&options.pools)),
                ("--hosts", text(&options.hosts)),
                ("--vms", text(&options.vms)),
                ("--churn", text(&options.churn)),
                ("--churn-kind", "mixed".to_owned()),
                ("--seed", "1".to_owned()),
            ]
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value])
            .chain(["--tls".to_owned()])
            .collect(),
        },
    )?;
    eprintln!(
        "\n  Xen Orchestra   {}\n  user            admin@admin.net\n  password        {password}\n\n  {} simulated pools of {} hosts and {} VMs each. Ctrl-C ends everything.\n",
        running.url,
        running.pools.len(),
        options.hosts,
        options.vms,
    );
    running.wait()
}
