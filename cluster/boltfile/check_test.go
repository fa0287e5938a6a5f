package boltfile

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// boltFile makes a database with enough entries for branch pages, an overflowing value and free
// pages.
func boltFile(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "test.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, PageSize: 4096})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		err := db.Update(func(tx *bbolt.Tx) error {
			for _, name := range []string{"logs", "conf"} {
				b, err := tx.CreateBucketIfNotExists([]byte(name))
				if err != nil {
					return err
				}
				for i := range 200 {
					if err := b.Put(fmt.Appendf(nil, "%s-%04d", name, i*(round+1)), make([]byte, 100+i%2*50)); err != nil {
						return err
					}
				}
			}
			return tx.Bucket([]byte("conf")).Put([]byte("large"), make([]byte, 20_000))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSoundDatabasePasses(t *testing.T) {
	if err := Check(boltFile(t), "conf", "logs"); err != nil {
		t.Fatal(err)
	}
	never := filepath.Join(t.TempDir(), "raft.db")
	if err := Create(never); err != nil {
		t.Fatal(err)
	}
	if err := Check(never, "conf", "logs"); err != nil {
		t.Fatal(err)
	}
}

// The newer of the two meta pages may be torn by a crash; the other one then holds.
func TestTornMetaPage(t *testing.T) {
	path := boltFile(t)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 4096} {
		torn := append([]byte(nil), data...)
		clear(torn[at+pageHeader : at+pageHeader+metaSize])
		m, err := newestMeta(torn)
		if err != nil || m.pageBytes != 4096 {
			t.Fatalf("meta at %d torn: %+v, %v", at, m, err)
		}
		clear(torn[4096-at+pageHeader:][:metaSize])
		if _, err := newestMeta(torn); err == nil {
			t.Fatal("both torn")
		}
	}
}

func FuzzBoltPages(f *testing.F) {
	data, err := os.ReadFile(boltFile(f))
	if err != nil {
		f.Fatal(err)
	}
	meta, err := newestMeta(data)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(2*4096+8), uint64(1))
	f.Add(uint32(3*4096), uint64(7))
	f.Fuzz(func(t *testing.T, at uint32, value uint64) {
		bent := append([]byte(nil), data...)
		i := 8192 + int(at)%(len(bent)-8192-8)
		binary.NativeEndian.PutUint64(bent[i:], value)
		w := &walk{data: bent, pageBytes: 4096, end: meta.end, seen: map[uint64]bool{}}
		if w.tree(meta.root, keys{}) == nil { // no panic, no endless loop; what passes has its pages once
			if err := w.buckets(meta.root, []string{"conf", "logs"}); err == nil && len(w.seen) > int(meta.end) {
				t.Fatal("more pages than there are")
			}
		}
	})
}
