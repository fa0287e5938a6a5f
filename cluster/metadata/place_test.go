package metadata

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// withRacks returns an image with one broker per element, on that rack.
func withRacks(racks ...string) *Image {
	im := &Image{}
	for i, rack := range racks {
		im.brokers = append(im.brokers, &Broker{ID: int32(i*10 + 1), Rack: rack})
	}
	return im
}

func TestPlaceRefusals(t *testing.T) {
	im := withRacks("", "")
	for _, factor := range []int{-1, 0, 3} {
		_, err := im.Place(uuid(1), 1, factor)
		wants[*InvalidReplicationFactorError](t, err)
	}
	for _, count := range []int{-1, 0} {
		_, err := im.Place(uuid(1), count, 1)
		wants[*InvalidPartitionsError](t, err)
	}
	_, err := (&Image{}).Place(uuid(1), 1, 1)
	wants[*InvalidReplicationFactorError](t, err)

	im = withRacks("", "", "", "")
	im.brokers[1].Fenced, im.brokers[2].Draining = true, true
	placed, err := im.Place(uuid(1), 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, replicas := range placed {
		if slices.Contains(replicas, 11) || slices.Contains(replicas, 21) {
			t.Fatal("placed on a fenced or a draining broker", replicas)
		}
	}
	_, err = im.Place(uuid(1), 1, 3)
	if e := wants[*InvalidReplicationFactorError](t, err); e.Usable != 2 || e.Brokers != 4 {
		t.Fatalf("%+v", e)
	}

	im = withRacks("", "", "", "")
	for factor, avoided := range map[int]bool{3: true, 4: false} {
		placed, err := im.Place(uuid(1), 3, factor, 11)
		if err != nil {
			t.Fatal(err)
		}
		for _, replicas := range placed {
			if slices.Contains(replicas, 11) == avoided {
				t.Fatal("a broker to avoid where there are or are not enough others", replicas)
			}
		}
	}
}

func TestPlaceMovesEmptyABroker(t *testing.T) {
	m := newCluster(t, 0)
	for id := int32(1); id <= 6; id++ {
		mustApply(t, m, RegisterBroker{ID: id, Directory: uuid(byte(id)), Rack: string("abc"[id%3]), Endpoints: []Endpoint{{"PLAINTEXT", "h", 1}}})
	}
	placed, err := m.Image().Place(uuid(1), 60, 3)
	if err != nil {
		t.Fatal(err)
	}
	c := newTopic(1, "a", placed...)
	c.MaxPartitions = 100
	mustApply(t, m, c)
	mustApply(t, m, DrainBroker{ID: 5, Drain: true})
	moves, err := m.Image().PlaceMoves(6)
	if err != nil || len(moves) != len(m.Image().PartitionsOf(6)) {
		t.Fatal(len(moves), err)
	}
	for _, result := range mustApply(t, m, AlterReassignments{Changes: moves}).([]error) {
		if result != nil {
			t.Fatal(result)
		}
	}
	if len(m.Image().Reassignments()) != len(moves) {
		t.Fatal("reassignments are missing")
	}
	if again, err := m.Image().PlaceMoves(6); again != nil || err != nil {
		t.Fatal("moved twice", again, err)
	}
	for _, move := range moves {
		before := part(m, move.ID, move.Partition).Original
		if added := without(move.Target, before); len(added) != 1 || added[0] == 5 || slices.Index(move.Target, added[0]) != slices.Index(before, 6) {
			t.Fatalf("%v became %v", before, move.Target)
		}
		racks := map[int32]bool{}
		for _, id := range move.Target {
			racks[id%3] = true
		}
		if len(racks) != 3 {
			t.Fatalf("%v became %v: not on three racks", before, move.Target)
		}
		finish(t, m, move.ID, move.Partition)
	}
	mustApply(t, m, UnregisterBroker{ID: 6})

	_, err = newCluster(t, 1).Image().PlaceMoves(1)
	if err != nil {
		t.Fatal("a broker that holds nothing", err)
	}
	full := newCluster(t, 2)
	create(t, full, 1, "a", []int32{1, 2})
	_, err = full.Image().PlaceMoves(1)
	wants[*InvalidReplicationFactorError](t, err)
	alone := newCluster(t, 1)
	create(t, alone, 1, "a", []int32{1})
	_, err = alone.Image().PlaceMoves(1)
	wants[*InvalidReplicationFactorError](t, err)
}

func TestPlaceIsBalancedAndRackAware(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		racks := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "c"}), 1, 9).Draw(t, "racks")
		factor := rapid.IntRange(1, len(racks)).Draw(t, "factor")
		count := rapid.IntRange(1, 40).Draw(t, "count")
		seed := UUID{7: rapid.Byte().Draw(t, "seed")}
		im := withRacks(racks...)
		placed, err := im.Place(seed, count, factor)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := im.Place(seed, count, factor)
		if !reflect.DeepEqual(placed, again) {
			t.Fatal("not deterministic")
		}
		rack := map[int32]string{}
		places := map[string]bool{}
		for _, b := range im.brokers {
			rack[b.ID] = b.Rack
			if b.Rack == "" {
				rack[b.ID] = fmt.Sprint("own ", b.ID)
			}
			places[rack[b.ID]] = true
		}
		leaders := map[int32]int{}
		for _, replicas := range placed {
			leaders[replicas[0]]++
			on := map[string]bool{}
			for i, id := range replicas {
				if slices.Contains(replicas[:i], id) || rack[id] == "" {
					t.Fatalf("replicas %v", replicas)
				}
				on[rack[id]] = true
			}
			if len(replicas) != factor || len(on) != min(factor, len(places)) {
				t.Fatalf("replicas %v lie on %d of %d racks", replicas, len(on), len(places))
			}
		}
		for _, b := range im.brokers {
			if n := leaders[b.ID]; n < count/len(racks) || n > (count+len(racks)-1)/len(racks) {
				t.Fatalf("broker %d leads %d of %d partitions on %d brokers", b.ID, n, count, len(racks))
			}
		}
	})
}

func TestPlaceSpreadsReplicas(t *testing.T) {
	for brokers := 1; brokers <= 7; brokers++ {
		im := withRacks(make([]string, brokers)...)
		for factor := 1; factor <= brokers; factor++ {
			placed, err := im.Place(uuid(3), 50, factor)
			if err != nil {
				t.Fatal(err)
			}
			held := map[int32]int{}
			for _, replicas := range placed {
				for _, id := range replicas {
					held[id]++
				}
			}
			low, high := 1<<30, 0
			for _, b := range im.brokers {
				low, high = min(low, held[b.ID]), max(high, held[b.ID])
			}
			if high-low > 2 {
				t.Errorf("%d brokers, factor %d: between %d and %d replicas", brokers, factor, low, high)
			}
		}
	}
}

// Topics with one partition each must not all end on the first broker.
func TestPlaceSeesWhatIsThere(t *testing.T) {
	m := newCluster(t, 3)
	for i := range 9 {
		placed, err := m.Image().Place(uuid(byte(i)), 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		create(t, m, byte(i+1), fmt.Sprint("t", i), placed...)
	}
	leads := map[int32]int{}
	for _, topic := range m.Image().Topics() {
		leads[topic.Partitions[0].Leader]++
	}
	if leads[1] != 3 || leads[2] != 3 || leads[3] != 3 {
		t.Fatal(leads)
	}
}
