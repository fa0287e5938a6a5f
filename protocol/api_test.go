package protocol

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTableIsSortedAndWithinKmsg(t *testing.T) {
	if !slices.IsSortedFunc(apiTable, func(a, b API) int { return int(a.Key) - int(b.Key) }) {
		t.Error("the table is not in order of keys, Lookup searches it by halves")
	}
	for _, api := range apiTable {
		req := kmsg.RequestForKey(api.Key)
		if req == nil {
			t.Errorf("%s: kmsg has no key %d", api.Name, api.Key)
			continue
		}
		if api.Max > req.MaxVersion() || api.Min > api.Floor || api.Floor > api.Max || api.Min < 0 {
			t.Errorf("%s: versions %d (%d) to %d, kmsg has up to %d", api.Name, api.Min, api.Floor, api.Max, req.MaxVersion())
		}
		if api.MaxRequestBytes <= 0 {
			t.Errorf("%s has no bound on its frames", api.Name)
		}
	}
}

// Every version that is served has a plan, and it is flexible exactly where kmsg
// says so, for the request as for the response.
func TestEveryServedVersionHasAPlan(t *testing.T) {
	for _, api := range apiTable {
		for v := api.Floor; v <= api.Max; v++ {
			req := kmsg.RequestForKey(api.Key)
			req.SetVersion(v)
			resp := req.ResponseKind()
			resp.SetVersion(v)
			if plans[api.Key] == nil || plans[api.Key][v] == nil {
				t.Errorf("%s version %d has no plan", api.Name, v)
			}
			if got := flexible(api.Key, v); got != req.IsFlexible() || got != resp.IsFlexible() {
				t.Errorf("%s version %d: flexible is %t, kmsg says %t and %t", api.Name, v, got, req.IsFlexible(), resp.IsFlexible())
			}
		}
	}
	if len(plans) != len(apiTable) {
		t.Errorf("%d shapes for %d APIs", len(plans), len(apiTable))
	}
}

func TestLookup(t *testing.T) {
	if api, ok := Lookup(KeyFetch); !ok || api.Name != "Fetch" {
		t.Errorf("Fetch: %+v, %t", api, ok)
	}
	for _, key := range []int16{-1, 4, 70, 76, 1000} {
		if _, ok := Lookup(key); ok {
			t.Errorf("key %d is served", key)
		}
	}
}

// The caller of APIs may change what it got.
func TestAPIsIsACopy(t *testing.T) {
	APIs()[0].Max = 99
	if api, _ := Lookup(KeyProduce); api.Max == 99 {
		t.Error("the table changed")
	}
}

func TestProduceIsAdvertisedFromZeroAndServedFromThree(t *testing.T) {
	api, _ := Lookup(KeyProduce)
	if api.Min != 0 || api.Serves(2) || !api.Serves(3) {
		t.Errorf("got %+v", api)
	}
}
