// Package cloudconfig reads the configuration that a machine of the cluster is
// given at boot: a YAML document that begins with the line "#cloud-config" and
// names users, keys, files, systemd units and the options of etcd, fleet,
// flannel and locksmith.
//
// The package is pure: it opens no file, starts no goroutine and reads no
// clock. In the order in which a program uses it:
//
//   - [KindOf] tells what the user-data is: a cloud-config, a script, an
//     Ignition config, nothing, or something unknown.
//   - [Validate] gives a [Report] of everything that is odd in a cloud-config,
//     with lines, for a person to read. It never fails.
//   - [Parse] makes a [Config] of it. Unknown keys and values of a wrong type
//     are left out, as the original tool leaves them out; what could not be
//     carried out, such as an unknown unit command or contents that do not
//     decode, is refused as a whole with an [*Error] that says where.
//   - [Config.Dropins] gives the files that hand the services their options.
//
// You owe nothing: a Config is plain data, owned by the caller, and holds no
// reference to the text it came from beyond its strings.
//
// # Dialect
//
// A dash in a key equals an underscore. Booleans and integers are those of
// YAML 1.1 (yes, off, 0644). A field of type text takes the literal text of
// whatever stands there, so that "permissions: 0644" and "reboot-strategy: off"
// need no quotes. Only the first YAML document counts. A list key that occurs
// twice in one mapping, in either spelling, joins its lists; of a repeated
// scalar the last wins.
package cloudconfig
