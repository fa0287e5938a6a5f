package protocol

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

var tagsType = reflect.TypeFor[kmsg.Tags]()

// fill draws every field of a kmsg struct, those of other versions included, with
// nil for pointers and slices now and then. Unknown tags have numbers above the
// known ones.
func fill(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == tagsType {
			if rapid.IntRange(0, 7).Draw(t, "tags") == 0 {
				tags := v.Addr().Interface().(*kmsg.Tags)
				tags.Set(rapid.Uint32Min(50).Draw(t, "tag"), rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "value"))
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Version" {
				fill(t, v.Field(i))
			}
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "present") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		} else {
			v.SetZero()
		}
	case reflect.Slice:
		if n := rapid.IntRange(-1, 4).Draw(t, "count"); n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(t, v.Index(i))
			}
		} else {
			v.SetZero()
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.String:
		v.SetString(rapid.StringN(0, 60, 200).Draw(t, "string"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.Byte().Draw(t, "byte")))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int") >> (64 - v.Type().Bits()))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(t, "float"))
	default:
		t.Fatalf("%s has a kind that fill does not know", v.Type())
	}
}

// drawRequest draws a request of a served version.
func drawRequest(t *rapid.T) (API, int16, kmsg.Request) {
	api := rapid.SampledFrom(apiTable).Draw(t, "api")
	version := rapid.Int16Range(api.Floor, api.Max).Draw(t, "version")
	return api, version, randomRequest(t, api.Key, version)
}

func randomRequest(t *rapid.T, key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	fill(t, reflect.ValueOf(req).Elem())
	return req
}
