//! The simulator over real sockets, as a client sees it.

#[path = "it/allowed.rs"]
mod allowed;
#[path = "it/certificates.rs"]
mod certificates;
#[path = "it/churn.rs"]
mod churn;
#[path = "it/client.rs"]
mod client;
#[path = "it/consoles.rs"]
mod consoles;
#[path = "it/dice.rs"]
mod dice;
#[path = "it/directory.rs"]
mod directory;
#[path = "it/documented.rs"]
mod documented;
#[path = "it/edges.rs"]
mod edges;
#[path = "it/events.rs"]
mod events;
#[path = "it/example.rs"]
mod example;
#[path = "it/faults.rs"]
mod faults;
#[path = "it/garbage.rs"]
mod garbage;
#[path = "it/generic.rs"]
mod generic;
#[path = "it/guests.rs"]
mod guests;
#[path = "it/life_cycle.rs"]
mod life_cycle;
#[path = "it/load.rs"]
mod load;
#[path = "it/machines.rs"]
mod machines;
#[path = "it/members.rs"]
mod members;
#[path = "it/patches.rs"]
mod patches;
#[path = "it/pools.rs"]
mod pools;
#[path = "it/protocol.rs"]
mod protocol;
#[path = "it/recovery.rs"]
mod recovery;
#[path = "it/roles.rs"]
mod roles;
#[path = "it/schedule.rs"]
mod schedule;
#[path = "it/small.rs"]
mod small;
#[path = "it/state_machine.rs"]
mod state_machine;
#[path = "it/storage.rs"]
mod storage;
#[path = "it/streams.rs"]
mod streams;
#[path = "it/tls.rs"]
mod tls;
#[path = "it/troubles.rs"]
mod troubles;
#[path = "it/upheavals.rs"]
mod upheavals;
#[path = "it/vanish.rs"]
mod vanish;
#[path = "it/world.rs"]
mod world;
#[path = "it/xml.rs"]
mod xml;
