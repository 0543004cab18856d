//! PIF, VIF, network, bond (contract/objects.md sections 8, 11, 12 and 17).

use super::{object::object, values::*};

object! {
    Pif {
        attached = "attached": bool,
        is_bond_master = "isBondMaster": bool,
        is_bond_slave = "isBondSlave": bool,
        bond_master = "bondMaster": Link<'a>,
        bond_slaves = "bondSlaves": Links<'a>,
        device = "device": Text<'a>,
        device_name = "deviceName": Text<'a>,
        /// Mbit/s.
        speed = "speed": Nullable<i64>,
        carrier = "carrier": bool,
        dns = "dns": Text<'a>,
        gateway = "gateway": Text<'a>,
        ip = "ip": Text<'a>,
        netmask = "netmask": Text<'a>,
        mac = "mac": Text<'a>,
        ipv6 = "ipv6": Vec<Text<'a>>,
        ipv6_mode = "ipv6Mode": Text<'a>,
        mode = "mode": Text<'a>,
        management = "management": bool,
        disallow_unplug = "disallowUnplug": bool,
        physical = "physical": bool,
        primary_address_type = "primaryAddressType": Text<'a>,
        mtu = "mtu": Nullable<i64>,
        /// -1 means none.
        vlan = "vlan": Nullable<i64>,
        host = "$host": Link<'a>,
        network = "$network": Link<'a>,
    }
}

object! {
    Vif {
        allowed_ipv4_addresses = "allowedIpv4Addresses": Vec<Text<'a>>,
        allowed_ipv6_addresses = "allowedIpv6Addresses": Vec<Text<'a>>,
        attached = "attached": bool,
        device = "device": Text<'a>,
        locking_mode = "lockingMode": Text<'a>,
        mac = "MAC": Text<'a>,
        mtu = "MTU": Nullable<i64>,
        other_config = "other_config": TextMap<'a>,
        tx_checksumming = "txChecksumming": bool,
        /// kB/s.
        rate_limit = "rateLimit": Nullable<Number>,
        network = "$network": Link<'a>,
        vm = "$VM": Link<'a>,
    }
}

object! {
    Network {
        automatic = "automatic": bool,
        bridge = "bridge": Text<'a>,
        current_operations = "current_operations": TextMap<'a>,
        default_is_locked = "defaultIsLocked": bool,
        mtu = "MTU": Nullable<i64>,
        name_label = "name_label": Text<'a>,
        name_description = "name_description": Text<'a>,
        other_config = "other_config": TextMap<'a>,
        tags = "tags": Vec<Text<'a>>,
        pifs = "PIFs": Links<'a>,
        vifs = "VIFs": Links<'a>,
        nbd = "nbd": bool,
        insecure_nbd = "insecureNbd": bool,
        is_bonded = "isBonded": bool,
    }
}

object! {
    Bond { master = "master": Link<'a>, mode = "mode": Text<'a>, }
}
