// Command cloudconfig shows three uses of package cloudconfig outside of a
// machine that boots:
//
//	go run ./examples/cloudconfig
//
// It validates a configuration as a pipeline does that lets none with mistakes
// pass; makes the config drives that three virtual machines boot with from one
// template; and applies one of the drives to a directory, as whoever builds an
// image does, twice: the second time there is nothing to do.
//
// The folder systemd holds the units with which a machine applies its cloud-configs
// as it boots: first the platform's, then the user's. A rule for udev there starts
// the unit of the config drive when the drive turns up.
//
// With -out DIR the drives and the image's files stay in DIR.
package main
