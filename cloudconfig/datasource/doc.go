// Package datasource fetches what a platform has to tell a machine that boots:
// user-data, the configuration written by its owner, and meta-data, which is the
// platform's own word about name, addresses, ssh keys and network.
//
// A [Source] is one place where this may be found. There is a constructor for
// each; what it reads of the machine is below a root directory, and what it asks
// over HTTP goes through a [Client], so that all of them work on directories and
// local servers as they do on a machine. A program makes the sources it may find,
// in order of preference, and calls [Select], which returns the one that is
// there; then it asks that one:
//
//	source, err := datasource.Select(ctx, sources, datasource.Options{})
//	data, err := source.UserData(ctx)
//	meta, err := source.Metadata(ctx)
//	user, err := cloudconfig.Read(data, meta.Addresses.Or(cloudconfig.ReadAddresses(os.Getenv)))
//	config := cloudconfig.Merge(user.Config, meta.Config())
//
// User-data is returned as it is stored, in whatever wrapping: to take that off
// is the task of package cloudconfig. Only CloudSigma and VMware name an encoding
// beside the data, and that is taken off here.
//
// # Bounds
//
// Nothing is believed about what answers. A document is read up to 16 MiB of
// user-data or 1 MiB of meta-data, and refused beyond; a request ends after 10
// seconds; lists end after a thousand entries. Files of a config drive are opened
// below its directory, wherever its links lead. An address that is no address is
// an error with the name of its field, not an empty one.
//
// Sources may be used by several goroutines at a time. None starts a goroutine
// that outlives its call.
package datasource
