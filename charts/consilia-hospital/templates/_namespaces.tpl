{{/* A hospital is one namespace, whose name is the hospital's: the release's. */}}
{{- define "consilia.namespaces" -}}
{{- toJson (list .Release.Namespace) -}}
{{- end -}}
