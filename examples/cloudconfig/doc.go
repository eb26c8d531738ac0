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
// With -out DIR the drives and the image's files stay in DIR.
package main
