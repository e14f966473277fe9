{{/* The namespaces that the operator looks after, as a JSON list; empty is all. */}}
{{- define "consilia.namespaces" -}}
{{- toJson .Values.watchNamespaces -}}
{{- end -}}
