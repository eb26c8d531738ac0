// Package network turns what a platform says about a machine's network into
// units for systemd-networkd.
//
// What you hold: a [Setup], from [Convert], which is pure: it reads no file and
// asks no machine. What you owe, in this order, on the machine it is for: take the
// interfaces of [Setup.Down] down, those that exist, so that networkd does not
// find addresses of an earlier configuration on them; load each of [Setup.Modules],
// with its options; hand [Setup.Units] to a cloud-config's plan, which writes
// them and restarts networkd if one changed.
//
// A unit is called DD-NAME with its suffix. NAME is the interface, or its hardware
// address where no name is known. DD orders them: an interface without anything
// on top of it has 00, and one that carries bonds or VLANs one more, in two
// hexadecimal digits, than the deepest of those.
//
// Formats, by [Kind]:
//
//   - debian: /etc/network/interfaces, as the network_config of a config drive
//     holds it. Understood are the stanzas auto and iface with the methods static,
//     dhcp, manual and loopback; addresses of both families, with a netmask or
//     as a CIDR; gateway, dns-nameservers, dns-search, hwaddress, mtu, "post-up
//     route add -net"; VLANs (eth0.7, or vlan7 with vlan_raw_device); bonds
//     (bond-slaves or bond-master, and the options mode, miimon, lacp-rate,
//     downdelay, updelay, xmit-hash-policy). Other options are ignored.
//   - packet: the object "network" in the metadata of Packet (later Equinix
//     Metal), as JSON. All interfaces become one bond.
//   - digitalocean: DigitalOcean's document metadata/v1.json, of which interfaces
//     and dns count.
//   - vmware: a JSON object of texts with the keys of VMware's guestinfo, such as
//     "interface.0.ip.0.address": "10.0.0.7/24".
package network
