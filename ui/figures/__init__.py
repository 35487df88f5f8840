"""Everything drawn of an experiment: charts, tables, pictures and the report, from an outcome's plain values.

Knows no page, no job and no Streamlit: the page, the command line and the report draw the same.
"""
