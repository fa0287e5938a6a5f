package partition

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"weir/log"
	"weir/segment/vfs"
)

// TestFatal: a disk that is gone ends the process, a full one does not.
func TestFatal(t *testing.T) {
	for _, x := range []struct {
		errno syscall.Errno
		fatal bool
	}{
		{syscall.EIO, true}, {syscall.EROFS, true}, {syscall.ENOSPC, false}, {syscall.EDQUOT, false},
	} {
		inj := vfs.NewInjector()
		p := open(t, vfs.Inject(vfs.NewMem(), inj), log.RecoverClean, testSettings())
		rng := rand.New(rand.NewPCG(1, 1))
		inj.Add(vfs.Rule{Kinds: vfs.OpWrite | vfs.OpPreallocate, Path: "*.log", Times: -1, Err: x.errno})
		var storage *StorageError
		if err := await(t, p.Propose(makeBatch(t, rng, nobody, 1), AcksAll)); !errors.As(err, &storage) {
			t.Errorf("%v: got %v, want a storage error", x.errno, err)
		}
		if told := len(p.fatal) > 0; told != x.fatal {
			t.Errorf("%v: told %v, want fatal %v", x.errno, told, x.fatal)
		}
		inj.Clear()
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	}
}
