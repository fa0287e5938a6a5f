package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
)

// feature is a feature of the cluster (KIP-584): the level that all brokers go by, 0 for off, and the levels that the
// broker that was asked knows.
type feature struct {
	Name  string `json:"name"`
	Level int16  `json:"level"`
	Min   int16  `json:"min_level"`
	Max   int16  `json:"max_level"`
}

func readFeatures(ctx context.Context, cl *connect.Client) ([]feature, error) {
	ctx, cancel := asking(ctx, cl)
	defer cancel()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "weir", "cli"
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return nil, cl.Explain("cannot read the features of the cluster", err)
	}
	return featuresOf(resp), nil
}

// featuresOf lists features by name.
func featuresOf(resp *kmsg.ApiVersionsResponse) []feature {
	features := make([]feature, 0, len(resp.SupportedFeatures))
	for _, s := range resp.SupportedFeatures {
		f := feature{Name: s.Name, Min: s.MinVersion, Max: s.MaxVersion}
		for _, finalized := range resp.FinalizedFeatures {
			if finalized.Name == s.Name {
				f.Level = finalized.MaxVersionLevel
			}
		}
		features = append(features, f)
	}
	slices.SortFunc(features, func(a, b feature) int { return strings.Compare(a.Name, b.Name) })
	return features
}

// featureWords is how people read features.
func featureWords(features []feature) string {
	words := make([]string, len(features))
	for i, f := range features {
		words[i] = fmt.Sprintf("%s %d (of %d to %d)", f.Name, f.Level, f.Min, f.Max)
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
