// Package faulttest tests members of a cluster on disks that lose their power,
// fail, hang, fill up and forge what was written. It has no code but tests.
package faulttest
