package adminhttp

import (
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// scraper answers scrapes. Every one gathers anew.
type scraper struct {
	collector *collector
	process   []prometheus.Collector // of the Go runtime and of the process
	binary    http.Handler           // answers in the format that is no text
	busy      chan struct{}          // has room for the scrapes that are under way
	logger    *slog.Logger
}

func newScraper(c *collector, process []prometheus.Collector, logger *slog.Logger) *scraper {
	s := &scraper{collector: c, process: process, busy: make(chan struct{}, maxScrapes), logger: logger}
	gather := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return s.gather(nil) })
	s.binary = promhttp.HandlerFor(gather, promhttp.HandlerOpts{ErrorLog: errorLog{logger}, ErrorHandling: promhttp.ContinueOnError})
	return s
}

// gather collects all series but those that text takes; nil takes none.
func (s *scraper) gather(text partitions) ([]*dto.MetricFamily, error) {
	r := prometheus.NewRegistry()
	r.MustRegister(&collection{collector: s.collector, text: text})
	r.MustRegister(s.process...)
	return r.Gather()
}

// ServeHTTP implements http.Handler.
func (s *scraper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	default:
		http.Error(w, "too many scrapes at a time", http.StatusServiceUnavailable)
		return
	}
	format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...)
	if t := format.FormatType(); t != expfmt.TypeTextPlain && t != expfmt.TypeOpenMetrics {
		s.binary.ServeHTTP(w, r)
		return
	}
	text := newPartitionText()
	defer text.release()
	families, err := s.gather(text)
	if err != nil { // what could be gathered is told
		s.logger.Warn("a scrape of metrics failed in part", "err", err)
	}
	w.Header().Set("Content-Type", string(format))
	var out io.Writer = w
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		zip, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // a level that there is
		defer zip.Close()
		out = zip
	}
	_ = write(out, format, families, text) // who has gone does not read it
}

func write(out io.Writer, format expfmt.Format, families []*dto.MetricFamily, text *partitionText) error {
	encoder := expfmt.NewEncoder(out, format)
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			return err
		}
	}
	for _, lines := range text.families() {
		if _, err := out.Write(lines); err != nil {
			return err
		}
	}
	if end, ok := encoder.(expfmt.Closer); ok {
		return end.Close()
	}
	return nil
}

// takesGzip reads the header Accept-Encoding.
func takesGzip(accept string) bool {
	for _, word := range strings.Split(accept, ",") {
		name, weight, _ := strings.Cut(word, ";")
		if strings.TrimSpace(name) == "gzip" {
			return strings.TrimSpace(weight) != "q=0"
		}
	}
	return false
}
