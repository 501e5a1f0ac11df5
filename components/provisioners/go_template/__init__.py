"""Reads templates as Go's text/template does, as far as it can be known without executing one.

Drivers take such templates in parameters: the tags of EBS, the pathPattern of local-path.
A template that Go refuses fails when the first volume is made, or is taken for another.

Source: Go 1.26, text/template/parse (lex.go, parse.go, node.go) and funcs.go.
tests/oracles holds it against Go itself.
"""

from components.provisioners.go_template.blocks import BUILT_IN, GoTemplate, parse
from components.provisioners.go_template.lexer import TemplateError

__all__ = ["BUILT_IN", "GoTemplate", "TemplateError", "parse"]
