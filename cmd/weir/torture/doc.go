// Package torture attacks the real binary: it is killed, starved of disk and
// has its files damaged, and what clients were told before has to be true
// after. The tests carry the build tag torture; `make torture` runs them.
//
// Some of them mount file systems and so need root: a full disk is a small
// tmpfs, power is lost on an ext4 image by the file system's shutdown call, and
// syncs fail on one in memory that promises more room than there is.
// Where that is not allowed they fail and say so; WEIR_TORTURE_MOUNT=no leaves
// them out.
//
// The TestCluster tests have three brokers (TestClusterMembers has five), partitions with three replicas, and
// producers and consumers on them all the time. After the faults the cluster
// heals, the replicas' logs have to become equal byte for byte, and the history
// is judged. Links are cut by network namespaces where root can make some
// (WEIR_TORTURE_NETNS=no leaves them out), else by a proxy.
//
// TestClusterTransactions has three stages of processors between topics, each a group that reads, writes and commits in
// transactions. A processor is a process as well, the test's binary once more, to be killed and halted, and to be
// robbed of its transactional id (processor_test.go).
//
// That these tests see the bugs they are there for is shown by `make mutants`
// (package mutants).
//
// TestClusterClock builds a binary of its own, whose wall clock jumps.
//
// Sizes come from the environment:
//
//	WEIR_TORTURE_CYCLES   kills of TestKill (25)
//	WEIR_TORTURE_LOSSES   power losses of TestPowerLoss (5)
//	WEIR_TORTURE_FAILED_SYNCS  how often TestFailedSync has syncs fail (3)
//	WEIR_TORTURE_RECORDS  records of TestManyRecords (1000000)
//	WEIR_TORTURE_KEPT_WRITTEN_MIB  through the topic of TestKeptSmall (1024), which keeps
//	WEIR_TORTURE_KEPT_MIB        (128), each second
//	WEIR_TORTURE_KEPT_RATE_MIB   (64)
//	WEIR_TORTURE_CLUSTER_CYCLES  how often each fault of a cluster's tests (1)
//	WEIR_TORTURE_CLUSTER_MIX     faults of TestClusterMix (4)
//	WEIR_TORTURE_FAILOVERS       of each kind, of TestClusterAvailability (2)
//	WEIR_TORTURE_THOUSANDS       kills of TestClusterThousand (1)
//	WEIR_TORTURE_COORDINATORS    kills of TestClusterCoordinators (12)
//	WEIR_TORTURE_TRANSACTIONS    faults of TestClusterTransactions (4)
//	WEIR_TORTURE_TXN_COORDINATORS  kills of TestCoordinatorKilledInEveryState, each in 15 states (3)
//	WEIR_TORTURE_GROUPS          of ten members, of TestClusterHerd (100)
//	WEIR_TORTURE_KEEP            when set, a cluster's data, logs and history stay
//	                             in the temporary folder though its test passes
//	WEIR_TORTURE_PATIENCE  after which what has not happened is taken never to happen (1m)
//	WEIR_TORTURE_SEED     of everything drawn at random (the clock)
//	WEIR_TORTURE_BINARY   the binary to attack (one that is built first)
package torture
