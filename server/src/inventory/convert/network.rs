//! PIF, VIF, network, bond (contract/objects.md sections 8, 11, 12 and 17).

use super::{Context, fields::*};
use app::model::network::{Bond, Network, Pif, Vif};
use std::marker::PhantomData;
use xapi::records;

pub(super) fn pif<'a>(context: &Context<'a>, pif: &'a records::Pif) -> Pif<'a> {
    let metrics = context.get(pif.metrics.as_ref());
    let bond_of_slave = context.get(pif.bond_slave_of.as_ref());
    let bond_of_master = context.get(pif.bond_master_of.as_ref().and_then(|bonds| bonds.first()));
    Pif {
        attached: flag(pif.currently_attached),
        is_bond_master: Some(is_bond_master(pif)),
        is_bond_slave: Some(is_bond_slave(pif)),
        bond_master: bond_of_slave.and_then(|bond| context.link(&bond.master)),
        bond_slaves: bond_of_master.and_then(|bond| context.links(&bond.slaves)),
        device: text(&pif.device),
        device_name: metrics.and_then(|metrics| text(&metrics.device_name)),
        speed: metrics.and_then(|metrics| number(metrics.speed)),
        carrier: metrics.and_then(|metrics| flag(metrics.carrier)),
        dns: text(&pif.DNS),
        gateway: text(&pif.gateway),
        ip: text(&pif.IP),
        netmask: text(&pif.netmask),
        mac: text(&pif.MAC),
        ipv6: texts(&pif.IPv6),
        ipv6_mode: text(&pif.ipv6_configuration_mode),
        mode: text(&pif.ip_configuration_mode),
        management: flag(pif.management),
        disallow_unplug: flag(pif.disallow_unplug),
        physical: flag(pif.physical),
        primary_address_type: text(&pif.primary_address_type),
        mtu: number(pif.MTU),
        vlan: number(pif.VLAN),
        host: context.link(&pif.host),
        network: context.link(&pif.network),
        borrowed: PhantomData,
    }
}

fn is_bond_slave(pif: &records::Pif) -> bool {
    pif.bond_slave_of.as_ref().is_some_and(|bond| !bond.is_null())
}

fn is_bond_master(pif: &records::Pif) -> bool {
    pif.bond_master_of.as_ref().is_some_and(|bonds| !bonds.is_empty())
}

pub(super) fn vif<'a>(context: &Context<'a>, vif: &'a records::Vif) -> Vif<'a> {
    let checksumming = entry(&vif.other_config, "ethtool-tx");
    let limited = vif.qos_algorithm_type.as_deref() == Some("ratelimit");
    let rate = if limited {
        entry(&vif.qos_algorithm_params, "kbps")
    } else {
        None
    };
    Vif {
        allowed_ipv4_addresses: texts(&vif.ipv4_allowed),
        allowed_ipv6_addresses: texts(&vif.ipv6_allowed),
        attached: flag(vif.currently_attached),
        device: text(&vif.device),
        locking_mode: text(&vif.locking_mode),
        mac: text(&vif.MAC),
        mtu: number(vif.MTU),
        other_config: map(&vif.other_config),
        tx_checksumming: Some(!matches!(checksumming, Some("false" | "off"))),
        rate_limit: rate.map(number_of),
        network: context.link(&vif.network),
        vm: context.link(&vif.VM),
        borrowed: PhantomData,
    }
}

pub(super) fn network<'a>(context: &Context<'a>, network: &'a records::Network) -> Network<'a> {
    let serves = |purpose: &str| Some(network.purpose.as_ref()?.iter().any(|known| known == purpose));
    let pifs = network.PIFs.iter().flat_map(|pifs| pifs.iter());
    // Every PIF is read, so that any of them can make the difference later.
    let bonded = pifs
        .filter_map(|pif| context.get(Some(pif)))
        .filter(|pif| is_bond_master(pif) || is_bond_slave(pif));
    Network {
        automatic: Some(is_true(&network.other_config, "automatic")),
        bridge: text(&network.bridge),
        current_operations: map(&network.current_operations),
        default_is_locked: Some(network.default_locking_mode.as_deref() == Some("disabled")),
        mtu: number(network.MTU),
        name_label: text(&network.name_label),
        name_description: text(&network.name_description),
        other_config: map(&network.other_config),
        tags: texts(&network.tags),
        is_bonded: Some(bonded.count() > 0),
        pifs: context.links(&network.PIFs),
        vifs: context.links(&network.VIFs),
        nbd: serves("nbd"),
        insecure_nbd: serves("insecure_nbd"),
        borrowed: PhantomData,
    }
}

pub(super) fn bond<'a>(context: &Context<'a>, bond: &'a records::Bond) -> Bond<'a> {
    Bond {
        master: context.link(&bond.master),
        mode: text(&bond.mode),
        borrowed: PhantomData,
    }
}
