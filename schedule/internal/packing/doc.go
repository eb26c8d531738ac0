// Package packing fills bins with items of several dimensions, bin by bin: a
// greedy choice of what leaves least, then a bounded search for what leaves
// less. It knows nothing of units and machines.
//
// The methods are norm-based greedy of Panigrahy et al. (2011) and minimum bin
// slack of Gupta and Ho (1999), widened to several dimensions.
package packing
