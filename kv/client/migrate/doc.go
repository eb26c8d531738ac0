// Package migrate copies the key space of one store into another: from the
// original etcd to a cluster of this project, or wherever a [kv.Store] leads.
//
// You hold two stores; [Copy] makes the second hold what the first does, with
// what is left of each time to live, and reports counts. What is there already
// is left alone, so that a copy that was interrupted goes on where it stopped,
// and a second copy brings what has changed since the first. It removes nothing.
//
// What you owe: nobody may write the keys in question to the target meanwhile,
// and clocks of this machine and of the source should agree, since a time to
// live is known by when it ends.
//
// Both stores' trees are held in memory meanwhile, since only a read of a whole
// tree shows one moment of it.
//
// The copy is as consistent as the v2 API allows: each of the trees that are
// copied is read in one step, at one index, and several of them one after the
// other. A change of the source after that is not in it. To move for good, copy
// while the source is in use, stop its writers, copy again.
//
// What the v2 API does not show is not copied: indexes, history, users and
// roles; hidden keys unless they are named; and bytes of values that are no
// UTF-8, in whose place the source shows U+FFFD. Names that CreateInOrder made
// are kept, but new ones are made of the target's index, which may be lower.
package migrate
