package cloudconfig

import "errors"

// Draft is user-data for which both is wanted: the report on it as it was written,
// and what it asks for with the addresses substituted. A text that names no
// address is the same both times and read once, which takes most of the time.
//
// The zero value is a draft without text. A Draft must not be used by two
// goroutines at once.
type Draft struct {
	parts []draftPart
	err   error // of unpacking
}

// draftPart is a text of a draft.
type draftPart struct {
	Part
	read *decoder // of the text as written; nil until somebody asked
}

// NewDraft unpacks user-data, which must not change from then on. What is wrong
// with it the methods say.
func NewDraft(data []byte) *Draft {
	parts, err := Unpack(data)
	f := &Draft{parts: make([]draftPart, len(parts)), err: err}
	for i, p := range parts {
		f.parts[i].Part = p
	}
	return f
}

// Report returns what [Validate] does for the user-data.
func (f *Draft) Report() Report {
	if e, ok := errors.AsType[*Error](f.err); ok {
		return Report{{Severity: SeverityError, Line: e.Line, Column: e.Column, Message: e.Reason}}
	}
	var report Report
	for i := range f.parts {
		p := &f.parts[i]
		for _, entry := range p.report() {
			report = append(report, p.place(entry))
		}
	}
	return report
}

// Read returns what the package's [Read] does for the user-data. The results of
// several calls share their lists.
func (f *Draft) Read(a Addresses) (*UserData, error) {
	if f.err != nil {
		return nil, f.err
	}
	u := &UserData{}
	var configs []*Config
	for i := range f.parts {
		p := &f.parts[i]
		text, unknown := Substitute(p.Text, a)
		for _, entry := range unknown {
			u.Unknown = append(u.Unknown, p.place(entry))
		}
		switch kind := KindOf([]byte(text)); kind {
		case KindEmpty:
		case KindScript:
			u.Scripts = append(u.Scripts, Script(text))
		case KindIgnition:
			u.Ignition = true
		default:
			c, err := p.decoded(text).parsed()
			if err != nil {
				return nil, p.locate(err)
			}
			configs = append(configs, c)
		}
	}
	u.Config = Merge(configs...)
	return u, nil
}

func (p *draftPart) report() Report {
	switch p.Kind {
	case KindEmpty, KindScript, KindIgnition:
		return nil
	case KindUnknown:
		return Report{{Severity: SeverityError, Line: 1, Message: unknownKind}}
	}
	return p.decoded(p.Text).report()
}

// decoded reads a text, unless it is the part as written and read already.
func (p *draftPart) decoded(text string) *decoder {
	if text != p.Text {
		return decode([]byte(text))
	}
	if p.read == nil {
		p.read = decode([]byte(text))
	}
	return p.read
}
