//! Networks, virtual and physical interfaces, bonds, VLANs, tunnels.
//!
//! Field names are XAPI's own. Fields that nothing here reads are left out and skipped while parsing.

use super::*;

records! {
    /// XAPI class `network`: layer-2 bridge across the pool.
    Network {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        current_operations: Map,
        VIFs: List<Ref<Vif>>,
        PIFs: List<Ref<Pif>>,
        MTU: i64,
        other_config: Map,
        bridge: Text,
        managed: bool,
        tags: Texts,
        default_locking_mode: Text,
        purpose: Texts,
    }
    /// XAPI class `VIF`: VM network card.
    Vif {
        uuid: Text,
        device: Text,
        network: Ref<Network>,
        VM: Ref<Vm>,
        MAC: Text,
        MTU: i64,
        other_config: Map,
        currently_attached: bool,
        qos_algorithm_type: Text,
        qos_algorithm_params: Map,
        locking_mode: Text,
        ipv4_allowed: Texts,
        ipv6_allowed: Texts,
        trunks: List<i64>,
    }
    /// XAPI class `PIF`: host network interface (physical, VLAN, bond, tunnel, SR-IOV).
    Pif {
        uuid: Text,
        device: Text,
        network: Ref<Network>,
        host: Ref<Host>,
        MAC: Text,
        MTU: i64,
        VLAN: i64,
        metrics: Ref<PifMetrics>,
        physical: bool,
        currently_attached: bool,
        ip_configuration_mode: Text,
        IP: Text,
        netmask: Text,
        gateway: Text,
        DNS: Text,
        bond_slave_of: Ref<Bond>,
        bond_master_of: List<Ref<Bond>>,
        VLAN_master_of: Ref<Vlan>,
        management: bool,
        other_config: Map,
        disallow_unplug: bool,
        ipv6_configuration_mode: Text,
        IPv6: Texts,
        ipv6_gateway: Text,
        primary_address_type: Text,
        managed: bool,
    }
    /// XAPI class `PIF_metrics`: link facts of a PIF.
    PifMetrics {
        uuid: Text,
        carrier: bool,
        vendor_name: Text,
        device_name: Text,
        speed: i64,
        duplex: bool,
    }
    /// XAPI class `Bond`: link aggregation of PIFs.
    Bond {
        uuid: Text,
        master: Ref<Pif>,
        slaves: List<Ref<Pif>>,
        other_config: Map,
        primary_slave: Ref<Pif>,
        mode: Text,
        properties: Map,
        links_up: i64,
        auto_update_mac: bool,
    }
    /// XAPI class `VLAN`: tagged/untagged PIF pair.
    Vlan {
        uuid: Text,
        tagged_PIF: Ref<Pif>,
        untagged_PIF: Ref<Pif>,
        tag: i64,
        other_config: Map,
    }
    /// XAPI class `tunnel`: GRE/VXLAN access/transport PIF pair.
    Tunnel {
        uuid: Text,
        access_PIF: Ref<Pif>,
        transport_PIF: Ref<Pif>,
        status: Map,
        other_config: Map,
        protocol: Text,
    }
}
