// Package configdrive writes config drives: the small read-only disks, called
// config-2, from which a virtual machine takes its user-data and meta-data as it
// boots, in OpenStack's layout.
//
// What you hold: a [Drive], what the machine is to be told, and its [Files]. What
// you owe: a directory or a writer that they go to. [Files.WriteImage] makes an
// ISO 9660 image with Rock Ridge names, which is what hypervisors attach as a CD
// and Linux mounts by its label; [ReadImage] reads one back. The same files make
// the same image, byte for byte.
//
// The files are
//
//	openstack/latest/user_data
//	openstack/latest/meta_data.json   hostname, public_keys, network_config
//	openstack/content/0000            the network's description, if there is one
package configdrive
